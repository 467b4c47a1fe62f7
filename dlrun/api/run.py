"""A run's folder, opened: its figures as Python has them, its model, and the verbs on it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from dlrun.api import call as calls
from dlrun.api import table
from dlrun.config import saved
from dlrun.run.folder import read_result

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor, nn

    from dlrun.api.predictions import Predictions
    from dlrun.trained import Trained

    Pictures = Tensor | np.ndarray[Any, Any] | Image | str | Path

SHOWN = 3
"""Figures that a notebook shows."""


class Run:
    """What a verb leaves behind. All of it is read from the folder, so it is the same in a later session.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def config(self) -> DictConfig:
        """The whole config."""
        return saved.load(self.folder)

    @property
    def result(self) -> dict[str, Any]:
        """All that ``result.json`` says."""
        return read_result(self.folder)

    @property
    def status(self) -> str:
        """``completed``, ``failed``, ``interrupted``, ``running`` or ``unfinished``."""
        return str(self.result.get("status", "unfinished"))

    @property
    def metrics(self) -> dict[str, float]:
        """Its figures by name, such as ``test/accuracy``."""
        return dict(self.result.get("metrics", {}))

    @property
    def history(self) -> Any:
        """A row for each epoch: a DataFrame where pandas is installed, else a list of dicts."""
        return self.table("metrics")

    def table(self, name: str) -> Any:
        """The CSV file of this name in the run's folder, such as ``predictions``; as :attr:`history`."""
        return table.read(self.folder / f"{name}.csv")

    @property
    def figures(self) -> dict[str, Path]:
        """The pictures of the run by name."""
        found = [*self.folder.glob("*.png"), *(self.folder / "figures").rglob("*.png")]
        return {file.stem: file for file in sorted(found)}

    @property
    def model(self) -> nn.Module:
        """The trained network, in evaluation mode: takes images (B, C, H, W) in [0,1], normalises them itself.

        Raises:
            UserError: the run has no checkpoint yet, or names code that is not trusted.
        """
        return self._trained.model

    @property
    def classes(self) -> list[str]:
        """The names of the classes that the model tells apart."""
        return self._trained.classes

    @cached_property
    def _trained(self) -> Trained:
        from dlrun.api.opened import opened

        return opened(self.folder)

    def predict(self, images: Pictures | Sequence[Pictures]) -> Predictions:
        """What the model sees in images, whatever their size.

        Args:
            images: a file, a folder, a picture of Pillow, an array uint8 (H, W) or (H, W, C), a tensor (C, H, W) or
                (N, C, H, W), float in [0,1] or uint8; or several of these.

        Raises:
            UserError: they cannot be read, or the run's model is no classifier.
        """
        from dlrun.api.predictions import predict

        return predict(self._trained, images)

    def evaluate(self, *overrides: str, **keys: object) -> Run:
        """Measure the model, as ``dlrun evaluate run=DIR`` does."""
        return self._then("evaluate", overrides, keys)

    def attack(self, *overrides: str, **keys: object) -> Run:
        """Attack the model, as ``dlrun attack run=DIR`` does: ``run.attack("attack=pgd", limit=100)``."""
        return self._then("attack", overrides, keys)

    def certify(self, *overrides: str, **keys: object) -> Run:
        """Prove a lower bound of the accuracy, as ``dlrun certify run=DIR`` does."""
        return self._then("certify", overrides, keys)

    def explain(self, *overrides: str, **keys: object) -> Run:
        """Show where the model looks, as ``dlrun explain run=DIR`` does: ``run.explain(explainer="grad_cam")``."""
        return self._then("explain", overrides, keys)

    def visualize(self, *overrides: str, **keys: object) -> Run:
        """Show what the model has learned, as ``dlrun visualize run=DIR`` does."""
        return self._then("visualize", overrides, keys)

    def resume(self, *overrides: str, **keys: object) -> Run:
        """Go on with the training, as ``dlrun train run=DIR`` does: ``run.resume(**{"trainer.epochs": 20})``."""
        self.__dict__.pop("_trained", None)
        return self._then(str(self.config.verb), overrides, keys)

    def _then(self, verb: str, overrides: Sequence[str], keys: dict[str, object]) -> Run:
        return Run(calls.perform(verb, calls.line((*overrides,), {"run": str(self.folder), **keys})))

    def __repr__(self) -> str:
        figures = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        return f"Run({str(self.folder)!r}): {self.status}" + (f", {figures}" if figures else "")

    def _repr_html_(self) -> str:
        """What a notebook shows: status, metrics and figures, the curves of a training first."""
        head = f"<p>{escape(str(self.folder))}: {self.status}</p>"
        metrics = table.html([self.metrics]) if self.metrics else ""
        first = sorted(self.figures.items(), key=lambda each: each[0] != "curves")[:SHOWN]
        data = [base64.b64encode(file.read_bytes()).decode() for _, file in first]
        return (
            head + metrics + "".join(f'<img src="data:image/png;base64,{one}" style="max-width: 48em">' for one in data)
        )
