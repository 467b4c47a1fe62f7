"""``dlrun attack``: what it leaves in its folder, and what it refuses."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.conftest import QUICK, Dlrun, Train, only_run, result

PLAIN = ("model=linear", "dataset=digits", "dataset.image_size=8", "weights=weights.pt")


@pytest.fixture
def trained(train_once: Train) -> Path:
    """A run in the working directory."""
    return train_once(*QUICK)


def test_a_curve_with_all_that_belongs_to_it(dlrun: Dlrun, trained: Path) -> None:
    before = {file: file.read_bytes() for file in trained.rglob("*") if file.is_file()}
    ended = dlrun("attack", "run=last", "attack.eps=[0,8/255,0.1,1/2]", "attack.steps=10", "save=true", "limit=300")
    assert ended.status == 0, ended.err
    assert before == {file: file.read_bytes() for file in trained.rglob("*") if file.is_file()}
    folder = only_run(Path("runs/attack"))
    found = result(folder)
    curve = found["curve"]
    assert [row["eps"] for row in curve] == pytest.approx([0, 8 / 255, 0.1, 0.5])
    accuracies = [row["robust_accuracy"] for row in curve]
    assert accuracies[0] == found["metrics"]["clean_accuracy"]
    assert accuracies == sorted(accuracies, reverse=True)
    assert found["metrics"]["robust_accuracy"] == accuracies[-1] < 0.05
    assert all(row["low"] <= row["robust_accuracy"] <= row["high"] for row in curve)
    assert curve[1]["mean_linf"] <= 8 / 255 + 1e-6
    assert curve[3]["queries"] < curve[1]["queries"] <= 300 * 13  # the fooled leave
    assert found["warnings"] == []
    with (folder / "examples.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 * 300
    assert sum(int(row["correct"]) for row in rows[600:900]) / 300 == accuracies[2]
    assert all((row["target"] == row["prediction"]) == (row["correct"] == "1") for row in rows)
    saved = torch.load(folder / "adversarial.pt", weights_only=True)
    assert saved["images"].shape == (4, 300, 1, 8, 8)
    change = (saved["images"] - saved["images"][0]).abs().amax(dim=(2, 3, 4)).amax(dim=1)
    torch.testing.assert_close(change, torch.tensor([0, 8 / 255, 0.1, 0.5]), rtol=0, atol=1e-6)
    assert all(Image.open(folder / name).width == 1600 for name in ("curve.png", "examples.png"))
    assert list(folder.glob("events.out.tfevents.*"))


def test_evaluate_and_attack_agree_on_the_clean_accuracy(dlrun: Dlrun, trained: Path) -> None:
    assert dlrun("evaluate", "run=last", "split=val").status == 0
    assert dlrun("attack", "run=last", "attack=fgsm", "attack.eps=0", "split=val").status == 0
    metrics = result(only_run(Path("runs/attack")))["metrics"]
    accuracy = result(only_run(Path("runs/evaluate")))["metrics"]["val/accuracy"]
    assert metrics == {"clean_accuracy": accuracy, "robust_accuracy": accuracy}


@pytest.mark.parametrize("attack", ["fgsm", "pgd", "apgd", "square", "auto"])
def test_plain_weights_and_every_attack(dlrun: Dlrun, trained: Path, attack: str) -> None:
    torch.save(torch.load(trained / "checkpoints" / "best.pt", weights_only=True)["model"], "weights.pt")
    few = {"square": ["attack.queries=100"], "auto": ["attack.queries=20", "attack.steps=5"]}.get(attack, [])
    ended = dlrun("attack", *PLAIN, f"attack={attack}", "attack.eps=0.2", "limit=50", "check=20", *few)
    assert ended.status == 0, ended.err
    found = result(only_run(Path("runs/attack")))
    assert found["metrics"]["robust_accuracy"] < 0.5 < found["metrics"]["clean_accuracy"]


def test_the_same_seed_gives_the_same_attack(dlrun: Dlrun, trained: Path) -> None:
    for name in "ab":
        assert dlrun("attack", "run=last", f"hydra.run.dir={name}", "limit=50", "check=0").status == 0
    assert Path("a/examples.csv").read_bytes() == Path("b/examples.csv").read_bytes()


WRONG = {
    "attack.eps=-0.1": "attack.eps=-0.1: expected 0 or more",
    "attack.eps=[0.1,-1]": "attack.eps=[0.1, -1]: ",
    "attack.eps=8/0": "attack.eps='8/0': ",
    "attack.step_size=0": "attack: step_size=0: expected more than 0, or null, with steps=40",
    "attack.target=10": "attack.target=10: expected a class, 0 to 9",
    "attack.target=-1": "attack: target=-1: expected a class",
    "attack.norm=l1": "attack.norm=l1: expected attack.norm=linf or l2",
    "attack.stepps=3": "attack.stepps=3: no such key; did you mean 'steps'?",
    "attack=pdg": "attack=pdg: no such choice; did you mean 'pgd'?",
}


@pytest.mark.parametrize("override", WRONG)
def test_wrong_input_is_one_line_and_no_folder(dlrun: Dlrun, trained: Path, override: str) -> None:
    ended = dlrun("attack", "run=last", override)
    assert ended.status == 2
    (line,) = ended.errors
    assert line.startswith(f"dlrun: {WRONG[override]}")
    assert not list(Path("runs").glob("attack/*/*"))


def test_a_model_without_gradient_is_refused(dlrun: Dlrun) -> None:
    Path("blocked.py").write_text(
        "import torch\nfrom torch import nn\n\nclass Blocked(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return nn.functional.one_hot(x.flatten(1)[:, :10].argmax(1), 10).float()\n"
    )
    Path("conf/model").mkdir(parents=True)
    Path("conf/model/blocked.yaml").write_text("_target_: blocked.Blocked\n")
    torch.save({}, "weights.pt")
    ended = dlrun("attack", "--config-dir", "conf", "model=blocked", *PLAIN[1:], "limit=20")
    assert ended.status == 2
    (line,) = ended.errors
    assert line.startswith("dlrun: model=Blocked: no gradient reaches the image")


def test_lenet_on_mnist_falls_with_eps(dlrun: Dlrun, real_data: str) -> None:
    root = f"dataset.root={os.path.abspath(real_data)}"
    quick = ("trainer.epochs=1", "trainer.limit_batches=150", "callback.tensorboard.images=0")
    assert dlrun("train", "dataset=mnist", root, *quick).status == 0
    eps = "attack.eps=[0,0.05,0.1,0.2,0.3]"
    assert dlrun("attack", "run=last", root, eps, "attack.step_size=0.01", "limit=100", "check=50").status == 0
    found = result(only_run(Path("runs/attack")))
    accuracies = [row["robust_accuracy"] for row in found["curve"]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[-1] <= 0.05 < 0.85 < accuracies[0]
    assert found["warnings"] == []
