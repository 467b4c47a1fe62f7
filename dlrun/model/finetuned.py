"""A trained network with a new head: a published classifier, or the model of an earlier run."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dlrun.errors import UserError
from dlrun.model import published
from dlrun.model.frozen import freeze
from dlrun.model.normalized import Normalized


def load(backbone: str | nn.Module, image_size: int, num_classes: int) -> nn.Module:
    """The network with a new dense head; its names stay, so weights go in and out without renaming.

    Args:
        backbone: a published classifier by name, see :func:`dlrun.model.published.network`, or a network, which is
            changed.
        image_size: side in pixels; only vision transformers are made for one size.
        num_classes: outputs of the new head.

    Raises:
        UserError: no such classifier, or one without a dense head.
    """
    network = published.network(backbone, image_size) if isinstance(backbone, str) else backbone
    name = head_name(network)
    old = network.get_submodule(name)
    assert isinstance(old, nn.Linear)
    network.set_submodule(name, nn.Linear(old.in_features, num_classes))
    return network


def head_name(network: nn.Module) -> str:
    """The name of the layer that gives the logits: the last one with weights, a dense one.

    Raises:
        UserError: the last layer is no dense one (SqueezeNet's is a convolution).
    """
    layers = [(name, module) for name, module in network.named_modules() if module._parameters]
    name, last = layers[-1] if layers else ("", network)
    if not name or not isinstance(last, nn.Linear):
        raise UserError(
            f"model={type(network).__name__}: has no head to replace; expected a network whose last layer is dense"
        )
    return name


class OnFeatures(Normalized):
    """A frozen network as its head sees it: takes features, and computes no more than the head.

    Its ``network`` is the whole one, so a checkpoint is that of the whole network.

    Args:
        model: the whole model; all but its head is frozen for good.
        head: the name of its head.
    """

    def __init__(self, model: Normalized, head: str) -> None:
        super().__init__(model.network, None, None)
        self.head = head
        freeze(self.network)
        self.network.get_submodule(head).requires_grad_(True)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, K) for features (B, F)."""
        logits: Tensor = self.network.get_submodule(self.head)(features)
        return logits


class Unfrozen(Normalized):
    """The whole model, all of it training, with batch normalisation as it was.

    Args:
        model: the model.
        batch_norm: train batch normalisation too, on the statistics of each batch.
    """

    def __init__(self, model: Normalized, batch_norm: bool) -> None:
        mean, std = model.mean.flatten().tolist(), model.std.flatten().tolist()
        super().__init__(model.network, *((mean, std) if model.normalizes else (None, None)))
        self.to(model.mean.device)
        self.batch_norm = batch_norm
        self.network.requires_grad_(True)
        if not batch_norm:
            for layer in self._norms():
                layer.requires_grad_(False)

    def train(self, mode: bool = True) -> Unfrozen:
        """Go into training mode, batch normalisation only where it shall train."""
        super().train(mode)
        if not self.batch_norm:
            for layer in self._norms():
                layer.eval()
        return self

    def _norms(self) -> list[nn.Module]:
        return [layer for layer in self.modules() if isinstance(layer, _BatchNorm)]


def rate_groups(network: nn.Module, lr: float, share: float, decay: float) -> list[dict[str, Any]]:
    """Parameter groups with a learning rate for each of the network's parts, lower from the head down.

    Args:
        network: its direct children with parameters are the parts, in their order (a ResNet's stages).
        lr: of the last part, which holds the head.
        share: of it for the part before.
        decay: from each part to the one before it (Howard and Ruder 2018, discriminative fine-tuning).
    """
    parts = [[parameter for parameter in part.parameters() if parameter.requires_grad] for part in _parts(network)]
    parts = [part for part in parts if part]
    below = len(parts) - 2
    return [
        {"params": part, "lr": lr if place > below else lr * share * decay ** (below - place)}
        for place, part in enumerate(parts)
    ]


def _parts(network: nn.Module) -> list[nn.Module]:
    """The direct children; those of the first one too where there are just a body and a head (VGG, ConvNeXt)."""
    children = list(network.children())
    own = nn.ParameterList(network.parameters(recurse=False))  # such as a transformer's class token
    first = [own] if len(own) else []
    with_parameters = [child for child in children if any(True for _ in child.parameters())]
    if len(with_parameters) == 2 and list(with_parameters[0].children()):
        return [*first, *with_parameters[0].children(), with_parameters[1]]
    return [*first, *with_parameters]
