"""Classification by the perceptron's own rule."""

from __future__ import annotations

from torch import Tensor

from dlrun.dataset.batch import Batch, inputs
from dlrun.errors import UserError
from dlrun.model.perceptron import Perceptron as Network
from dlrun.task.adversarial import plain
from dlrun.task.classification import Classification
from dlrun.task.task import Forward, Net


class Perceptron(Classification):
    """Rosenblatt's rule as a loss under plain gradient descent (001_6d5271d093cc63ab.txt, algorithme du perceptron).

    ``w <- w + lr y x`` for every point with ``y w.x <= 0``, where y is -1 or 1, is a step of SGD without momentum on
    the sum of ``-y w.x`` over these points: online with ``dataset.batch_size=1``, else over the batch.
    """

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        """The rule's loss and the outputs; the network counts the steps that change it."""
        network = plain(net).get_submodule("network")
        if not isinstance(network, Network):
            raise UserError(f"task=perceptron: trains model=perceptron, not {type(network).__name__}")
        outputs = net(inputs(batch))
        margins = _signs(batch) * outputs
        wrong = margins.detach() <= 0
        network.updates += wrong.any()
        return Forward(-(margins * wrong).sum(), outputs)

    def evaluate(self, net: Net, batch: Batch) -> Forward:
        """The config's own loss, such as the hinge loss that the rule descends on."""
        return super().loss(net, batch)

    def batch_metrics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The accuracy by the rule's own measure: a point on the line is wrong."""
        return {"accuracy": (_signs(batch) * outputs > 0).float().mean()}

    def check_output(self, output: Tensor) -> None:
        """Expect one output, for two classes."""
        if self.num_classes != 2 or output.shape[1:] != (1,):
            found = "x".join(map(str, output.shape[1:]))
            raise ValueError(f"gives {found} outputs for {self.num_classes} classes; the perceptron's rule has 1 for 2")


def _signs(batch: Batch) -> Tensor:
    """-1 or 1 for each example, (B, 1)."""
    return 2 * batch["target"].unsqueeze(1).float() - 1
