"""``figures/NAME.png``: the last figure of each name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dlrun.callback.callback import Callback

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dlrun.training.trainer import Trainer

FOLDER = "figures"


class Figures(Callback):
    """Keeps what was drawn in files; the folder is there only if something was.

    Args:
        dpi: dots per inch.
    """

    def __init__(self, dpi: int = 120) -> None:
        self.dpi = dpi
        self._last: dict[Path, Figure] = {}

    def on_figure(self, trainer: Trainer, name: str, figure: Figure, step: int) -> None:
        """Remember it: writing a file takes as long as many small epochs."""
        self._last[trainer.folder / FOLDER / f"{name}.png"] = figure

    def close(self) -> None:
        """Write the files."""
        for path, figure in self._last.items():
            path.parent.mkdir(exist_ok=True)
            figure.savefig(path, dpi=self.dpi)
