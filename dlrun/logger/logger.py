"""The base of all loggers: where else a run is recorded besides its own files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

Value = bool | int | float | str | None


class Logger:
    """Takes what a run records; every method does nothing unless overridden.

    A run that continues goes back to its last checkpoint, and gives some steps again. A logger whose files can be cut
    back names them (:meth:`files`), and gets every step as if there had been no break. Another one takes a step only
    once: it remembers the last, in the run's folder.
    """

    def open(self, folder: Path) -> None:
        """Begin, or go on, for the run in this folder."""

    def begin(
        self,
        hparams: Mapping[str, Value],
        metrics: Sequence[str],
        first: Collection[str],
        names: Sequence[str],
        config: str,
    ) -> None:
        """Once in a run's life, before all else.

        Args:
            hparams: what a comparison of runs should show, by name.
            metrics: the tags of the scalars to compare runs by.
            first: names of hyperparameters to show first.
            names: metrics that train and val share, without the split.
            config: the whole config, as YAML.
        """

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Points of curves, by tag."""

    def figure(self, name: str, png: bytes, size: tuple[int, int], step: int) -> None:
        """A picture as PNG, and its width and height in pixels."""

    def text(self, tag: str, text: str) -> None:
        """A text in a fixed-width font."""

    def graph(self, model: nn.Module, inputs: Tensor) -> None:
        """A model's graph, traced on a batch."""

    def pr_curves(self, probabilities: Tensor, targets: Tensor, classes: Sequence[str], step: int) -> None:
        """A precision-recall curve for each class against all others; probabilities (N, K), targets (N,)."""

    def embedding(self, features: Tensor, labels: Sequence[str], images: Tensor) -> None:
        """Vectors (N, F), each with its label and its image, float (N, C, H, W) in [0,1]."""

    def success(self) -> None:
        """The run came to its end."""

    def files(self) -> Sequence[Path]:
        """The files that it appends to, flushed; what is cut off them was never said."""
        return ()

    def close(self) -> None:
        """At the end of the process, also when the run failed."""

    def state_dict(self) -> dict[str, Any]:
        """What it needs to go on, in plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`; files are cut back already."""
