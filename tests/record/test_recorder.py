"""The recorder: what it writes, once, and that it is cut back to a checkpoint."""

from __future__ import annotations

import ast
import io
import os
import pickle
import signal
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dlrun import interrupt
from dlrun.errors import RunError
from dlrun.figure.slide import DPI, png
from dlrun.logger.logger import Logger, Status
from dlrun.logger.tensorboard import TensorBoard
from dlrun.record.recorder import Recorder
from tests.forks import status_of

COLUMNS = ["epoch", "train/loss", "val/loss"]
ROOT = Path(__file__).parents[2]


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()


def points(folder: Path, tag: str = "train/loss") -> list[tuple[int, float]]:
    return [(event.step, round(event.value, 4)) for event in events(folder).Scalars(tag)]


def drawing(height: float = 0.5) -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [0, height])
    return figure


def record(recorder: Recorder, epochs: range) -> None:
    for epoch in epochs:
        recorder.epoch({"epoch": epoch, "train/loss": 1 / epoch}, COLUMNS)
        recorder.curve("loss", ("samples seen", "training loss"), [(10.0 * epoch, 1 / epoch)])
        recorder.scalars({"train/loss": 1 / epoch}, epoch)


def test_metrics_and_curves_have_a_line_for_every_row_and_point(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    record(recorder, range(1, 3))
    assert (tmp_path / "metrics.csv").read_bytes() == b"epoch,train/loss,val/loss\r\n1,1.0,\r\n2,0.5,\r\n"
    assert (tmp_path / "curves" / "loss.csv").read_bytes() == (
        b"samples seen,training loss\r\n10.0,1.0\r\n20.0,0.5\r\n"
    )


def test_a_row_with_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="val/top_5"):
        Recorder(tmp_path).epoch({"epoch": 1, "val/top_5": 1.0}, COLUMNS)


def test_a_table_has_the_columns_of_its_first_row_and_is_replaced_as_a_whole(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.table("examples", [{"eps": 0.1, "class": "a,b"}, {"eps": 0.2, "class": "é"}])
    assert (tmp_path / "examples.csv").read_text(encoding="utf-8") == 'eps,class\n0.1,"a,b"\n0.2,é\n'
    with pytest.raises(ValueError, match="other"):
        recorder.table("examples", [{"eps": 0.1}, {"other": 1}])
    recorder.table("examples", [{"eps": 0.3}])
    assert (tmp_path / "examples.csv").read_bytes() == b"eps\r\n0.3\r\n"
    assert [file.name for file in tmp_path.iterdir()] == ["examples.csv"]


def test_a_figure_has_the_same_bytes_in_its_file_and_on_tensorboard(tmp_path: Path) -> None:
    with Recorder(tmp_path, [TensorBoard()], "figures") as recorder:
        recorder.figure("overlays/000_7", drawing(), 3)
    content = (tmp_path / "figures" / "overlays" / "000_7.png").read_bytes()
    (event,) = events(tmp_path).Images("overlays/000_7")
    assert event.encoded_image_string == content
    assert (event.step, event.width, event.height) == (3, 2 * DPI, DPI)
    assert Image.open(io.BytesIO(content)).info.keys() <= {"dpi"}  # no software, no time


def test_a_figure_is_rendered_once_and_the_same_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[FigureCanvasAgg] = []
    draw = FigureCanvasAgg.draw

    def counted(canvas: FigureCanvasAgg) -> None:
        drawn.append(canvas)
        draw(canvas)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(FigureCanvasAgg, "draw", counted)
    for name in ("a", "b"):
        Recorder(tmp_path, [TensorBoard(), Logger()]).figure(name, drawing())
    assert len(drawn) == 2
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    Recorder(tmp_path).figure("b", drawing(0.9))
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_the_state_is_the_length_of_every_file_that_grows(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, [TensorBoard()])
    record(recorder, range(1, 4))
    recorder.figure("picture", drawing())
    recorder.table("rows", [{"a": 1}])
    files = recorder.state_dict()["files"]
    event_files = [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("events.out.tfevents.*")]
    assert {Path(file).parent.as_posix() for file in event_files} == {".", "curves/train"}
    assert set(files) == {"metrics.csv", "curves/loss.csv", *event_files}
    for name, length in files.items():
        assert (tmp_path / name).stat().st_size == length
    assert len(points(tmp_path)) == 3  # flushed: nothing is on its way


def test_a_run_that_continues_has_everything_once(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    broken = tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    with Recorder(whole, [TensorBoard()]) as recorder:
        record(recorder, range(1, 8))

    first = Recorder(broken, [TensorBoard()])
    record(first, range(1, 4))
    state = first.state_dict()
    record(first, range(4, 6))
    first.curve("late", ("x", "y"), [(0.0, 0.0)])
    first.close()
    with Recorder(broken, [TensorBoard()]) as second:
        second.load_state_dict(state)
        assert not (broken / "curves" / "late.csv").exists()
        record(second, range(4, 8))
    assert points(broken) == points(whole) == [(epoch, round(1 / epoch, 4)) for epoch in range(1, 8)]
    assert points(broken / "curves" / "train", "Epoch/loss") == points(whole)
    for name in ("metrics.csv", "curves/loss.csv"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_going_back_in_one_process_works_too(tmp_path: Path) -> None:
    with Recorder(tmp_path, [TensorBoard()]) as recorder:
        record(recorder, range(1, 3))
        state = recorder.state_dict()
        record(recorder, range(3, 5))
        recorder.load_state_dict(state)
        record(recorder, range(3, 6))
    assert [step for step, _ in points(tmp_path)] == [1, 2, 3, 4, 5]
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 6


def test_a_start_from_nothing_leaves_nothing_of_before(tmp_path: Path) -> None:
    first = Recorder(tmp_path, [TensorBoard()])
    record(first, range(1, 4))
    first.close()
    with Recorder(tmp_path, [TensorBoard()]) as second:
        second.clear()
        assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
        record(second, range(1, 3))
    assert points(tmp_path) == [(1, 1.0), (2, 0.5)]


def test_a_checkpoint_of_before_the_recorder_names_files_without_their_folder(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, [TensorBoard()])
    record(recorder, range(1, 3))
    state = recorder.state_dict()
    old = {Path(name).name: length for name, length in state["files"].items() if "curves/train" not in name}
    record(recorder, range(3, 5))
    recorder.load_state_dict({"files": old})
    recorder.close()
    assert (tmp_path / "curves" / "loss.csv").stat().st_size == state["files"]["curves/loss.csv"]
    assert [step for step, _ in points(tmp_path)] == [1, 2]


def test_a_file_that_is_shorter_than_the_checkpoint_says_is_not_filled_with_zeros(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    record(recorder, range(1, 3))
    state = recorder.state_dict()
    (tmp_path / "metrics.csv").write_text("epoch\r\n")
    recorder.load_state_dict(state)
    assert (tmp_path / "metrics.csv").read_bytes() == b"epoch\r\n"


def test_a_kill_between_two_writes_leaves_what_the_checkpoint_repairs(tmp_path: Path) -> None:
    """The process dies in the middle of a figure's file and after half of a row."""

    def killed() -> None:
        recorder = Recorder(tmp_path, [TensorBoard()], "figures")
        record(recorder, range(1, 4))
        recorder.figure("map", drawing(0.1))
        (tmp_path / "state").write_bytes(pickle.dumps(recorder.state_dict()))
        record(recorder, range(4, 6))
        with (tmp_path / "metrics.csv").open("a") as stream:
            stream.write("6,0.16")
        Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign, assignment]
        recorder.figure("map", drawing(0.9))

    assert status_of(killed) == -signal.SIGKILL
    assert (tmp_path / "figures" / "map.png").read_bytes() == png(drawing(0.1))
    assert len(list((tmp_path / "figures").iterdir())) == 2  # and what the kill left
    with Recorder(tmp_path, [TensorBoard()], "figures") as recorder:
        recorder.load_state_dict(pickle.loads((tmp_path / "state").read_bytes()))
        assert [file.name for file in (tmp_path / "figures").iterdir()] == ["map.png"]
        record(recorder, range(4, 7))
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2", "3", "4", "5", "6"]
    assert [step for step, _ in points(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_a_full_disk_is_named_and_what_was_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path)
    recorder.figure("map", drawing())
    before = (tmp_path / "map.png").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunError, match=r"map.png: cannot be written: No space left on device"):
        recorder.figure("map", drawing(0.9))
    assert (tmp_path / "map.png").read_bytes() == before
    assert os.listdir(tmp_path) == ["map.png"]


class Heard(Logger):
    """Remembers what it is given."""

    name = "heard"

    def __init__(self) -> None:
        self.status: list[Status] = []
        self.tables: list[Path] = []

    def table(self, name: str, file: Path) -> None:
        self.tables.append(file)

    def close(self, status: Status) -> None:
        self.status.append(status)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "completed"),
        (RunError("diverged"), "failed"),
        (interrupt.Interrupted(15), "interrupted"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_loggers_hear_how_the_run_ended(tmp_path: Path, error: BaseException | None, status: Status) -> None:
    heard = Heard()
    with nullcontext() if error is None else pytest.raises(type(error)), Recorder(tmp_path, [heard]) as recorder:
        recorder.table("rows", [{"a": 1}])
        if error:
            raise error
    assert heard.status == [status]
    assert heard.tables == [tmp_path / "rows.csv"]


def test_a_run_that_records_nothing_has_no_files(tmp_path: Path) -> None:
    with Recorder(tmp_path, [TensorBoard()]) as recorder:
        recorder.state_dict()
    assert list(tmp_path.iterdir()) == []


def test_hyperparameters_layout_and_config_reach_the_page(tmp_path: Path) -> None:
    with Recorder(tmp_path, [TensorBoard()]) as recorder:
        recorder.begin({"lr": 0.1, "model": "lenet", "bad": None}, ["best/val_loss"], ["lr"], ["loss"], "seed: 0")
        recorder.success()
    tensors = set(events(tmp_path).Tags()["tensors"])
    assert {"config/text_summary", "custom_scalars__config__"} <= tensors
    plugin = events(tmp_path).PluginTagToContent("hparams")
    assert set(plugin) == {
        "_hparams_/experiment",
        "_hparams_/session_start_info",
        "_hparams_/session_end_info",
    }


def test_the_projector_has_the_last_vectors_and_no_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1.0, 2.0):
        with Recorder(tmp_path, [TensorBoard()]) as recorder:
            recorder.embedding(torch.full((3, 2), number), ["a", "b", "c"], torch.rand(3, 1, 8, 8))
    assert "warning" not in capsys.readouterr().out
    vectors = np.loadtxt(tmp_path / "00000" / "features" / "tensors.tsv")
    assert vectors.tolist() == [[2.0, 2.0]] * 3
    assert (tmp_path / "projector_config.pbtxt").read_text().count("embeddings {") == 1


class Wordy(torch.nn.Module):
    """Gives what the tracer does not know."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, str]:
        return images, "a picture"


def test_a_model_that_cannot_be_traced_has_no_graph_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Recorder(tmp_path, [TensorBoard()]) as recorder:
        with pytest.warns(UserWarning, match="no graph for TensorBoard: "):
            recorder.graph(Wordy(), torch.ones(1, 1, 2, 2))
        recorder.scalars({"train/loss": 0.5}, 1)
    assert points(tmp_path) == [(1, 0.5)]
    assert capsys.readouterr().out == ""


def test_no_module_but_the_loggers_opens_a_writer() -> None:
    found = {}
    for file in sorted((ROOT / "dlrun").rglob("*.py")):
        names: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names |= {node.module or "", *(alias.name for alias in node.names)}
        tools = {name for name in names if name.split(".")[0] in ("wandb", "mlflow", "trackio", "tensorboard")}
        tools |= names & {"SummaryWriter", "torch.utils.tensorboard"}
        if tools and file.parent.name != "logger":
            found[str(file.relative_to(ROOT))] = tools
    assert found == {}
