"""A run's TensorBoard page: one run is one entry, with its hyperparameters in it."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from pathlib import Path

from matplotlib.figure import Figure
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from dlrun.dataset.field import fit, to_unit

Value = bool | int | float | str | None
SPRITE = 32  # side in pixels of an image on the projector


class Board:
    """Writes a run's events.

    Args:
        folder: the run's folder.
        images: the most images in a grid; 0 draws none.
    """

    def __init__(self, folder: Path, images: int = 16) -> None:
        self.writer = SummaryWriter(str(folder))
        self.images = images

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Points of curves, by tag."""
        for tag, value in values.items():
            self.writer.add_scalar(tag, value, step)

    def layout(self, metrics: Collection[str]) -> None:
        """Charts that show training and validation in one, for each of these metrics (``loss``, ``accuracy``)."""
        charts = {name: ["Multiline", [f"^train/{name}$", f"^val/{name}$"]] for name in metrics}
        self.writer.add_custom_scalars({"train and val": charts})

    def text(self, tag: str, text: str) -> None:
        """A text in a fixed-width font."""
        self.writer.add_text(tag, "\n".join(f"    {line}" for line in text.splitlines()))

    def figure(self, tag: str, figure: Figure, step: int) -> None:
        """A matplotlib figure."""
        self.writer.add_figure(tag, figure, step, close=False)

    def graph(self, model: nn.Module, images: Tensor) -> None:
        """The model's graph, traced on a batch."""
        self.writer.add_graph(model, images)

    def pr_curves(self, probabilities: Tensor, targets: Tensor, classes: list[str], step: int) -> None:
        """A precision-recall curve for each class, against all others."""
        for number, name in enumerate(classes):
            self.writer.add_pr_curve(f"pr/{name}", targets == number, probabilities[:, number], step)

    def embedding(self, features: Tensor, labels: list[str], images: Tensor) -> None:
        """Vectors, float (N, F), for the projector, each with its label and its image, uint8 or float (N, C, H, W)."""
        small = to_unit(fit(images, 3, SPRITE))
        self.writer.add_embedding(features.cpu(), labels, small, tag="features")

    def hparams(self, hparams: dict[str, Value], metrics: list[str], first: Collection[str]) -> None:
        """Hyperparameters for TensorBoard's table of runs, beside the last value of these scalars of the run.

        They are written into the run's own entry: ``SummaryWriter.add_hparams`` would open a second run. What this
        writes first for a folder stays: TensorBoard keeps the first of such records.

        Args:
            hparams: by name; a name should have values of one type in all runs that are compared.
            metrics: exact tags of scalars; the table shows the first five unless told otherwise.
            first: names to show first; the table shows five of them too.
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
        self._hparams_record(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment))
        self._hparams_record(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))

    def success(self) -> None:
        """Mark the run as completed in the table of hyperparameters."""
        end = SessionEndInfo(status="STATUS_SUCCESS", end_time_secs=time.time())
        self._hparams_record(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))

    def _hparams_record(self, tag: str, content: HParamsPluginData) -> None:
        value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content))
        self.writer._get_file_writer().add_summary(Summary(value=[value]))  # type: ignore[no-untyped-call]

    def flush(self) -> None:
        """Write what there is to the file."""
        self.writer.flush()

    def close(self) -> None:
        """Write out what is left."""
        self.writer.close()


def _plain(value: Value) -> bool | float | str:
    """The kinds of value that the table of hyperparameters knows."""
    if isinstance(value, (bool, str)):
        return value
    return float(value) if value is not None and math.isfinite(value) else str(value)
