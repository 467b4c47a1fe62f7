"""A run's TensorBoard page: an entry with all of it, and one for each split, so that one chart has the curves of both.

TensorBoard draws a chart for each tag, with a line for each entry, and sorts groups of tags by their letters, capitals
first.
"""

from __future__ import annotations

import io
import math
import shutil
import struct
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch import Tensor, nn

from dlrun.dataset.field import fit
from dlrun.errors import RunError
from dlrun.logger.event_file import Summaries
from dlrun.logger.logger import Logger, Status, Value

SPRITE = 32
"""Side in pixels of an image on the projector."""
RGBA = 4
"""The colour space of an image summary."""
ENTRIES = {"train": "curves/train", "val": "curves/val"}
"""The splits that have an entry of their own, and its folder in the run's."""
FIRST = "Epoch"
"""The group of their tags, which stands before all others."""


class TensorBoard(Logger):
    """Writes event files into the run's folder, and the metrics of each split into a folder of its own below it too."""

    name = "tensorboard"

    def __init__(self) -> None:
        self._writers: dict[str, Summaries] = {}

    @property
    def writer(self) -> Summaries:
        """The writer of the run's own entry."""
        return self._entry(".")

    def _entry(self, place: str) -> Summaries:
        """The writer of a new event file in a folder of the run's; made when it is first asked for."""
        if place not in self._writers:
            seconds = [int(path.name.split(".")[3]) for path in _event_files(self.folder / place)]
            while seconds and time.time() < max(seconds) + 1:
                time.sleep(0.05)  # TensorBoard reads files in their names' order, which begins with the second
            self._writers[place] = Summaries(str(self.folder / place))
        return self._writers[place]

    def begin(
        self,
        hparams: Mapping[str, Value],
        metrics: Sequence[str],
        first: Collection[str],
        names: Collection[str],
        config: str,
    ) -> None:
        """The table of hyperparameters, charts that show training and validation in one, and the config."""
        self._hparams(hparams, metrics, first)
        charts = {name: ["Multiline", [f"^train/{name}$", f"^val/{name}$"]] for name in names}
        self.writer.add_custom_scalars({"train and val": charts})
        self.text("config", config)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Points of curves, by tag; those of training and validation on the charts that come first too."""
        for tag, value in values.items():
            self.writer.add_scalar(tag, value, step)
            split, _, name = tag.partition("/")
            if split in ENTRIES:
                self._entry(ENTRIES[split]).add_scalar(f"{FIRST}/{name}", value, step)

    def figure(self, name: str, file: Path, png: bytes, step: int) -> None:
        """A picture, as the file has it."""
        width, height = struct.unpack(">II", png[16:24])  # of the header chunk, which is the first
        image = Summary.Image(encoded_image_string=png, width=width, height=height, colorspace=RGBA)
        self._summary(Summary.Value(tag=name, image=image), step)

    def text(self, tag: str, text: str) -> None:
        """A text in a fixed-width font."""
        self.writer.add_text(tag, "\n".join(f"    {line}" for line in text.splitlines()))

    def graph(self, model: nn.Module, inputs: Tensor) -> None:
        """The model's graph, traced on a batch; of a model that cannot be traced there is none, which is said."""
        fused = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # one operator for a whole layer, and only at the first look
        try:
            with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")  # the tracer warns of every Python branch on a size
                # Checking what it traced is slow: torch imports what it has for tensors in parts.
                traced: Any = torch.jit.trace(model, inputs, check_trace=False)  # type: ignore[no-untyped-call]
                self.writer.add_graph(traced, inputs)
        except RunError:  # of the disk
            raise
        except Exception as error:  # of the tracer, or of a model of anybody's own
            why = next(iter(str(error).splitlines()), type(error).__name__)
            warnings.warn(f"no graph for TensorBoard: {why}", stacklevel=1)
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)

    def pr_curves(self, probabilities: Tensor, targets: Tensor, classes: Sequence[str], step: int) -> None:
        """A precision-recall curve for each class, against all others."""
        for number, name in enumerate(classes):
            self.writer.add_pr_curve(f"pr/{name}", targets == number, probabilities[:, number], step)

    def embedding(self, features: Tensor, labels: Sequence[str], images: Tensor | None = None) -> None:
        """Vectors for the projector, in the place of those that are there."""
        shutil.rmtree(self.folder / "00000" / "features", ignore_errors=True)  # where the writer puts them
        small = None if images is None else fit(images.cpu(), 3, SPRITE).clamp(0, 1)
        try:
            self.writer.add_embedding(features.cpu(), list(labels), small, tag="features")
        except OSError as error:
            raise RunError(f"{self.folder / '00000'}: cannot be written: {error.strerror or error}") from error

    def success(self) -> None:
        """Mark the run as completed in the table of hyperparameters."""
        end = SessionEndInfo(status="STATUS_SUCCESS", end_time_secs=time.time())
        self._hparams_record("session_end_info", HParamsPluginData(session_end_info=end))

    def flush(self) -> None:
        """Write out what there is."""
        for writer in self._writers.values():
            writer.flush()

    def files(self) -> list[Path]:
        """The event files, those of earlier processes too."""
        return [file for place in (".", *ENTRIES.values()) for file in _event_files(self.folder / place)]

    def rewind(self) -> None:
        """Close the event files; what comes goes to new ones."""
        while self._writers:
            self._writers.popitem()[1].close()

    def close(self, status: Status) -> None:
        """Write out what is left."""
        self.rewind()

    def _hparams(self, hparams: Mapping[str, Value], metrics: Sequence[str], first: Collection[str]) -> None:
        """Hyperparameters for TensorBoard's table of runs, beside the last value of these scalars of the run.

        They are written into the run's own entry: ``SummaryWriter.add_hparams`` would open a second run. What this
        writes first for a folder stays: TensorBoard keeps the first of such records.
        """
        plain = {name: _plain(value) for name, value in hparams.items()}
        types = {bool: "DATA_TYPE_BOOL", float: "DATA_TYPE_FLOAT64", str: "DATA_TYPE_STRING"}
        # Without this, a page of one run alone looks for the metrics in a run of another name, and shows none.
        experiment = api_pb2.Experiment(
            hparam_infos=[
                api_pb2.HParamInfo(name=name, type=types[type(value)], differs=name in first)
                for name, value in plain.items()
            ],
            metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics],
        )
        start = SessionStartInfo(start_time_secs=time.time())
        fields = {bool: "bool_value", float: "number_value", str: "string_value"}
        for name, value in plain.items():
            setattr(start.hparams[name], fields[type(value)], value)
        self._hparams_record("experiment", HParamsPluginData(experiment=experiment))
        self._hparams_record("session_start_info", HParamsPluginData(session_start_info=start))

    def _hparams_record(self, tag: str, content: HParamsPluginData) -> None:
        plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=content.SerializeToString())
        self._summary(Summary.Value(tag=f"_hparams_/{tag}", metadata=SummaryMetadata(plugin_data=plugin)))

    def _summary(self, value: Summary.Value, step: int | None = None) -> None:
        self.writer._get_file_writer().add_summary(Summary(value=[value]), step)


def _event_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("events.out.tfevents.*"))


def _plain(value: Value) -> bool | float | str:
    """The kinds of value that the table of hyperparameters knows."""
    if isinstance(value, (bool, str)):
        return value
    return float(value) if value is not None and math.isfinite(value) else str(value)
