"""The base of all loggers: what can be recorded of a run besides its own files."""

from __future__ import annotations

import importlib.util
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf
from torch import Tensor, nn

from dlrun.errors import UserError
from dlrun.files import write_whole

Value = bool | int | float | str | None
"""A hyperparameter."""
Status = Literal["completed", "failed", "interrupted"]
BY_EPOCH = ("train", "val", "test", "best")
"""The metrics that are recorded once an epoch; all others are recorded by step."""


class Logger:
    """Takes what a run records; every method does nothing unless overridden.

    A logger opens nothing before it is given something, so that a run that is refused leaves nothing behind. A run that
    continues opens it again and gives it again what was recorded after the checkpoint, so a logger either names its
    files in :meth:`files` and is cut back, or leaves out what it has already (:class:`RemoteLogger`).
    """

    name: str
    """That of its file in ``configs/logger/``."""
    package: str | None = None
    """What it needs, an extra of dlrun by the same name."""
    folder: Path
    """The run's folder; the recorder sets it."""

    @classmethod
    def missing(cls) -> str | None:
        """A sentence, if its package is not installed."""
        if cls.package is None or importlib.util.find_spec(cls.package):
            return None
        return f"logger={cls.package}: needs {cls.package}; pip install 'dlrun[{cls.package}]'"

    def begin(
        self,
        hparams: Mapping[str, Value],
        metrics: Sequence[str],
        first: Collection[str],
        names: Collection[str],
        config: str,
    ) -> None:
        """What is known before the first step; see :meth:`dlrun.record.recorder.Recorder.begin`."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Points of curves, by tag."""

    def figure(self, name: str, file: Path, png: bytes, step: int) -> None:
        """A picture: the bytes of a PNG file, and the file in the run's folder."""

    def table(self, name: str, file: Path) -> None:
        """A CSV file in the run's folder."""

    def text(self, tag: str, text: str) -> None:
        """A text in a fixed-width font."""

    def graph(self, model: nn.Module, inputs: Tensor) -> None:
        """The model's graph, traced on a batch."""

    def pr_curves(self, probabilities: Tensor, targets: Tensor, classes: Sequence[str], step: int) -> None:
        """A precision-recall curve for each class, against all others."""

    def embedding(self, features: Tensor, labels: Sequence[str], images: Tensor | None = None) -> None:
        """Vectors, float (N, F), each with its label and perhaps its image, float (N, C, H, W) in [0,1]."""

    def success(self) -> None:
        """The run has done what it was to do."""

    def flush(self) -> None:
        """Write out what there is: the run may be killed after this."""

    def files(self) -> list[Path]:
        """The files in the run's folder that this logger appends to, and that are cut back to a checkpoint."""
        return []

    def rewind(self) -> None:
        """Let go of all files: they are about to be cut back, or removed."""

    def state_dict(self) -> dict[str, Any]:
        """What continues the same entry, besides the files: plain values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the entry of a :meth:`state_dict`."""

    def close(self, status: Status) -> None:
        """Write out what is left; ``status`` is how the run ended."""


class RemoteLogger(Logger):
    """A logger that keeps what it has been given: its entry is continued, and takes a step only once.

    What the entry has is asked of the entry itself (:meth:`stored`), once, when it is opened again: only steps beyond
    that are written. Its id stands in the checkpoint and in ``NAME.json`` in the run's folder, for a run that was
    killed before its first checkpoint.
    """

    package: str

    def __init__(self) -> None:
        if fault := self.missing():
            raise UserError(fault)
        self._package = importlib.import_module(self.package)
        self._entry: Any = None
        self._id: str | None = None
        self._taken: dict[str, int] = {}  # the last step of each tag that was written before the last return
        self._seen: dict[str, int] = {}  # the same, as of now

    def open(self, id: str, resumed: bool) -> Any:
        """The entry with this id, a new one or one of before; what the tool gives to write to."""
        raise NotImplementedError

    def stored(self, id: str) -> dict[str, int]:
        """The last step of every tag that the entry has."""
        raise NotImplementedError

    @property
    def entry(self) -> Any:
        """The tool's own object to write to; opened when it is first asked for."""
        if self._entry is None:
            file = self.folder / f"{self.name}.json"
            if file.exists():
                self._id = json.loads(file.read_text())["id"]
            resumed = self._id is not None
            self._id = self._id or self.new_id()
            self._entry = self.open(self._id, resumed)
            write_whole(file, json.dumps({"id": self._id}) + "\n")
            self._seen = self.stored(self._id) if resumed else {}
            self._taken = dict(self._seen)
        return self._entry

    def new_id(self) -> str:
        """An id for an entry that is not there yet."""
        return uuid.uuid4().hex[:12]

    @property
    def title(self) -> str:
        """What people read: the last two parts of the run's folder."""
        return "/".join(self.folder.absolute().parts[-2:])

    @property
    def config(self) -> Any:
        """The run's config, as its folder has it."""
        file = self.folder / "config.yaml"
        return OmegaConf.to_container(OmegaConf.load(file)) if file.exists() else {}

    def is_new(self, tag: str, step: int) -> bool:
        """Whether the entry lacks this step; it is written then."""
        assert self._entry is not None
        self._seen[tag] = max(step, self._seen.get(tag, -1))
        return step > self._taken.get(tag, -1)

    def new(self, values: Mapping[str, float], step: int) -> dict[str, float]:
        """Those of the values that the entry lacks."""
        return {tag: value for tag, value in values.items() if self.is_new(tag, step)}

    def rewind(self) -> None:
        """What was written stays; from here on, only what comes after it."""
        self._taken = dict(self._seen)

    def state_dict(self) -> dict[str, Any]:
        """The entry's id."""
        return {"id": self._id}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the id, where none is known; the file in the run's folder, if it is there, goes before it."""
        if self._entry is None:
            self._id = state.get("id")


def axis(tag: str) -> str:
    """What a scalar's step counts: ``epoch`` or ``step``."""
    return "epoch" if tag.split("/")[0] in BY_EPOCH else "step"
