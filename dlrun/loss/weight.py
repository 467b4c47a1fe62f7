"""How much a batch's loss counts beside others'."""

from __future__ import annotations

from torch import Tensor, nn


def weight(criterion: nn.Module, targets: Tensor | None, size: int) -> float | Tensor:
    """The weight of a batch's mean loss in the mean over several batches.

    Most losses are means over examples, so that it is their number. A cross-entropy with class weights, or with a class
    that is ignored, divides by the weights of its targets. A loss of one's own that is no mean over examples says so by
    a method ``weight_of(targets)``. Nothing waits for a device here, and for a mean over examples nothing is computed.

    Args:
        criterion: the loss function.
        targets: of the batch: class numbers, int64 of any shape, or probabilities; None where it has none.
        size: the number of examples.
    """
    if targets is not None and callable(own := getattr(criterion, "weight_of", None)):
        found: float | Tensor = own(targets)
        return found
    if not isinstance(criterion, (nn.CrossEntropyLoss, nn.NLLLoss)) or criterion.reduction != "mean":
        return float(size)
    if targets is None or targets.is_floating_point():
        return float(size)
    counted = targets != criterion.ignore_index
    if isinstance(criterion.weight, Tensor):
        return (criterion.weight.to(targets.device)[targets.where(counted, 0)] * counted).sum()
    return size * counted.float().mean() if criterion.ignore_index >= 0 else float(size)


def is_nll(criterion: nn.Module) -> bool:
    """Whether a loss is the negative log-likelihood of the targets' classes, as it stands."""
    if not isinstance(criterion, nn.CrossEntropyLoss) or criterion.reduction != "mean":
        return False
    plain = criterion.label_smoothing == 0 and criterion.ignore_index == -100
    return plain and not isinstance(criterion.weight, Tensor)
