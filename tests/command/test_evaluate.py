"""``dlrun evaluate`` against the training's own test, and on plain weights."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from tests.command.test_finetune import photos
from tests.conftest import QUICK, Dlrun, Train, only_run, result

PLAIN = ("evaluate", "model=linear", "dataset=digits", "dataset.image_size=8")


@pytest.fixture
def trained(train_once: Train) -> Path:
    """A run in the working directory."""
    return train_once(*QUICK)


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
    assert Image.open(found / "confusion_matrix.png").width == 1600
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


def test_limit_takes_the_same_examples_of_every_class_for_every_verb(dlrun: Dlrun, trained: Path) -> None:
    def rows(verb: str, table: str, *more: str) -> list[dict[str, str]]:
        ended = dlrun(verb, f"run={trained}", f"hydra.run.dir={verb}-{len(more)}", *more)
        assert ended.status == 0, ended.err
        assert ("30 of 359 images" in ended.out) == ("limit=30" in more)
        with Path(f"{verb}-{len(more)}", table).open() as stream:
            return list(csv.DictReader(stream))

    whole = rows("evaluate", "predictions.csv")
    few = rows("evaluate", "predictions.csv", "limit=30", "top_k=3")
    assert [row["index"] for row in whole] == [str(number) for number in range(359)]
    assert few == [whole[int(row["index"])] for row in few]
    counts = Counter(row["target"] for row in few)
    assert set(counts.values()) == {3}
    found = result(Path("evaluate-2"))
    assert found["examples"] == 30
    assert "test/top3_accuracy" in found["metrics"]
    for verb, more in (("attack", ("attack=fgsm", "check=0")), ("certify", ("attack.steps=2",))):
        table = rows(verb, "examples.csv", "limit=30", *more)
        assert [(row["index"], row["target"]) for row in table] == [(row["index"], row["target"]) for row in few]


def test_batches_of_a_split_that_is_sorted_by_class_are_of_every_class(dlrun: Dlrun, train_once: Train) -> None:
    photos(Path("photos"), ("cats", "dogs"), count=40, side=8)
    quick = ("dataset=image_folder", "dataset.root=photos", *QUICK, "dataset.eval_batch_size=4")
    train_once(*quick, "trainer.limit_batches=1", "hydra.run.dir=run")
    assert dlrun("evaluate", "run=run", "hydra.run.dir=evaluate").status == 0
    with Path("evaluate/predictions.csv").open() as stream:
        assert Counter(row["target"] for row in csv.DictReader(stream)) == {"cats": 2, "dogs": 2}


def test_classes_are_those_of_the_run_and_matched_by_name(dlrun: Dlrun) -> None:
    """Another folder has one class that the model does not know, and lacks one; by position all would be wrong."""
    for folder, names in {"old": "abcd", "new": "_acd"}.items():
        for name in names:
            Path(folder, name).mkdir(parents=True)
            for number in range(10):
                level = 250 if name == "_" else 60 * "abcd".index(name) + number
                Image.new("L", (8, 8), level).save(Path(folder, name, f"{number}.png"))
    quick = (
        "dataset=image_folder",
        "dataset.channels=1",
        *QUICK,
        "model=mlp",
        "optimizer=adam",
        "optimizer.lr=0.01",
        "trainer.epochs=60",
    )
    ended = dlrun("train", "dataset.root=old", *quick, "hydra.run.dir=run")
    assert ended.status == 0, ended.err
    assert result(Path("run"))["metrics"]["test/accuracy"] == 1
    for number, more in enumerate([("dataset.root=new",), ("dataset=image_folder", "dataset.root=new")]):
        ended = dlrun("evaluate", "run=run", "split=train", f"hydra.run.dir=evaluate{number}", *more)
        assert ended.status == 0, ended.err
        assert "warning: dataset: left out, as the model does not know them: _" in ended.out
        assert "warning: dataset: no examples in test of b" in ended.out
        found = result(Path(f"evaluate{number}"))
        assert (found["classes"], found["metrics"]["train/accuracy"]) == (["a", "b", "c", "d"], 1)
        was, now = (OmegaConf.load(f"{run}/config.yaml").dataset for run in ("run", f"evaluate{number}"))
        for key in ("mean", "std", "image_size", "channels", "num_classes"):
            assert was[key] == now[key]
    ended = dlrun("evaluate", "run=run", "dataset=digits")
    assert ended.status == 2
    assert ended.errors == [
        "dlrun: dataset: has the classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; the model knows others: a, b, c, d"
    ]


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
