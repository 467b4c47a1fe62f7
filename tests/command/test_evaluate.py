"""``dlrun evaluate`` against the training's own test, and on plain weights."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.command.test_finetune import photos
from tests.conftest import QUICK, Dlrun, only_run, result

PLAIN = ("evaluate", "model=linear", "dataset=digits", "dataset.image_size=8")


@pytest.fixture
def trained(dlrun: Dlrun) -> Path:
    """A run in the working directory."""
    assert dlrun("train", *QUICK).status == 0
    return only_run(Path("runs/train"))


def test_a_run_gives_the_accuracy_of_its_test_to_the_last_digit(dlrun: Dlrun, trained: Path) -> None:
    before = {file: file.read_bytes() for file in trained.rglob("*") if file.is_file()}
    ended = dlrun("evaluate", "run=last")
    assert ended.status == 0, ended.err
    found = only_run(Path("runs/evaluate"))
    metrics = result(found)["metrics"]
    for name in ("test/accuracy", "test/loss"):
        assert metrics[name] == result(trained)["metrics"][name]
    assert before == {file: file.read_bytes() for file in trained.rglob("*") if file.is_file()}
    assert "calibration_error" in ended.out
    assert "precision" in ended.out
    assert Image.open(found / "confusion_matrix.png").width > 400
    assert list(found.glob("events.out.tfevents.*"))


def test_predictions_csv_has_a_row_for_every_example(dlrun: Dlrun, trained: Path) -> None:
    assert dlrun("evaluate", f"run={trained}").status == 0
    found = only_run(Path("runs/evaluate"))
    with (found / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    correct = [row["target"] == row["prediction"] for row in rows]
    assert [bool(int(row["correct"])) for row in rows] == correct
    assert sum(correct) / len(rows) == result(found)["metrics"]["test/accuracy"]
    assert len(rows) == result(found)["examples"]


@pytest.mark.parametrize(("split", "examples"), [("train", 1294), ("val", 144), ("test", 359)])
def test_any_split(dlrun: Dlrun, trained: Path, split: str, examples: int) -> None:
    assert dlrun("evaluate", "run=last", f"split={split}").status == 0
    found = result(only_run(Path("runs/evaluate")))
    assert found["examples"] == examples
    if split == "val":
        assert found["metrics"]["val/accuracy"] == result(trained)["metrics"]["val/accuracy"]


def test_limit_takes_the_first_examples(dlrun: Dlrun, trained: Path) -> None:
    assert dlrun("evaluate", "run=last", "limit=10", "top_k=3").status == 0
    found = result(only_run(Path("runs/evaluate")))
    assert found["examples"] == 10
    assert "test/top3_accuracy" in found["metrics"]


@pytest.mark.parametrize("form", ["plain", "model", "state_dict", "module."])
def test_plain_weights_in_every_common_form(dlrun: Dlrun, trained: Path, form: str) -> None:
    state = torch.load(trained / "checkpoints" / "best.pt", weights_only=True)["model"]
    wrapped = {"plain": state, "module.": {f"module.{name}": value for name, value in state.items()}}
    torch.save(wrapped.get(form, {form: state}), "weights.pt")
    # Mean and standard deviation are measured on the training images, so the split must be the run's.
    assert dlrun(*PLAIN, "weights=weights.pt").status == 0
    metrics = result(only_run(Path("runs/evaluate")))["metrics"]
    assert metrics["test/accuracy"] == result(trained)["metrics"]["test/accuracy"]


@pytest.mark.parametrize("key", ["dataset.root", "dataset.source.root"])
def test_a_run_whose_data_moved_is_told_where_it_is(dlrun: Dlrun, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(Path("photos"))
    photos(Path("others"))  # which are never taken in their place without a word
    monkeypatch.setenv("DLRUN_DATA", "others")
    quick = ("dataset=image_folder", "dataset.root=photos", *QUICK)
    assert dlrun("train", *quick, "hydra.run.dir=run").status == 0
    Path("photos").rename("moved")
    ended = dlrun("evaluate", "run=run")
    assert ended.status == 2
    (line,) = ended.errors
    assert line.startswith("dlrun: dataset.root=photos: no such folder")
    ended = dlrun("evaluate", "run=run", f"{key}=moved")
    assert ended.status == 0, ended.err
    metrics = result(only_run(Path("runs/evaluate")))["metrics"]
    assert metrics["test/accuracy"] == result(Path("run"))["metrics"]["test/accuracy"]
    assert metrics["test/loss"] == result(Path("run"))["metrics"]["test/loss"]


def test_another_batch_size_scores_the_same(dlrun: Dlrun, trained: Path) -> None:
    assert dlrun("evaluate", "run=last", "dataset.eval_batch_size=7").status == 0
    metrics = result(only_run(Path("runs/evaluate")))["metrics"]
    assert metrics["test/accuracy"] == result(trained)["metrics"]["test/accuracy"]
