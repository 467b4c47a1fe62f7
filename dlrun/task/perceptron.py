"""Classification by the perceptron's own rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlrun.dataset.batch import Batch
from dlrun.errors import UserError
from dlrun.model.perceptron import Perceptron as Network
from dlrun.task.classification import Classification

if TYPE_CHECKING:
    from dlrun.training.trainer import Trainer


class Perceptron(Classification):
    """Rosenblatt's rule in the place of a gradient step (001_6d5271d093cc63ab.txt, algorithme du perceptron).

    ``w <- w + lr y x`` for every point with ``y w.x <= 0``, where y is -1 or 1: online with ``dataset.batch_size=1``,
    else with the sum over the batch. The learning rate is the optimizer's; nothing else of it is used.
    """

    def training_step(self, trainer: Trainer, batches: list[Batch]) -> dict[str, Tensor]:
        """One update, or none where all points of the batches are right."""
        network = trainer.model.network
        if not isinstance(network, Network):
            raise UserError(f"task=perceptron: trains model=perceptron, not {type(network).__name__}")
        batch = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
        targets = batch["target"]
        loss, outputs = self.forward(trainer.model, batch)
        signs = 2 * targets.unsqueeze(1).float() - 1
        wrong = signs * outputs.detach() <= 0
        if wrong.any():
            parameters = [network.weight, network.bias]
            # The gradient of w.x with respect to w is x: autograd sums y x over the points that are wrong.
            sums = torch.autograd.grad(outputs, parameters, grad_outputs=signs * wrong)
            rate = trainer.optimizer.param_groups[0]["lr"]
            with torch.no_grad():
                for parameter, total in zip(parameters, sums, strict=True):
                    parameter.add_(total, alpha=rate)
                network.updates += 1
        return {"loss": loss.detach(), "accuracy": 1 - wrong.float().mean()}

    def check_output(self, output: Tensor) -> None:
        """Expect one output, for two classes."""
        if self.num_classes != 2 or output.shape[1:] != (1,):
            found = "x".join(map(str, output.shape[1:]))
            raise ValueError(f"gives {found} outputs for {self.num_classes} classes; the perceptron's rule has 1 for 2")
