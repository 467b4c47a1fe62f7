"""``dlrun certify``: both accuracies side by side, and what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dlrun.certify import bounds
from dlrun.command import certify
from tests.conftest import QUICK, Dlrun, only_run, result

SMALL = ("model=mlp", "model.width=12", "model.depth=2", *QUICK[1:])
LIPSCHITZ = (
    "model=lipschitz_mlp",
    "model.width=16",
    "dataset.normalize=false",
    "loss=hinge",
    "optimizer=adam",
    *QUICK[1:],
)


def train(dlrun: Dlrun, *overrides: str) -> Path:
    ended = dlrun("train", *overrides)
    assert ended.status == 0, ended.err
    return only_run(Path("runs/train"))


def test_certified_is_never_above_attacked(dlrun: Dlrun) -> None:
    train(dlrun, *SMALL, "task=certified", "task.eps=0.05", "task.warmup_epochs=1", "task.bound=polytope")
    ended = dlrun("certify", "run=last", "eps=[0,8/255,0.1,0.5]", "attack.steps=10", "limit=100")
    assert ended.status == 0, ended.err
    folder = only_run(Path("runs/certify"))
    found = result(folder)
    assert found["method"] == "polytope"
    metrics, curve = found["metrics"], found["curve"]
    assert list(metrics) == ["clean_accuracy", "robust_accuracy", "certified_accuracy"]
    assert [row["eps"] for row in curve] == pytest.approx([0, 8 / 255, 0.1, 0.5])
    for row in curve:
        assert row["certified_accuracy"] <= row["robust_accuracy"] <= metrics["clean_accuracy"]
    assert curve[0]["certified_accuracy"] >= metrics["clean_accuracy"] - 0.01
    assert curve[0]["certified_accuracy"] > curve[1]["certified_accuracy"] > 0
    assert curve[3]["certified_accuracy"] == 0
    with (folder / "examples.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 400
    assert all(row["certified"] <= row["resists"] for row in rows)
    with (folder / "curve.csv").open() as stream:
        assert [float(row["certified_accuracy"]) for row in csv.DictReader(stream)] == [
            row["certified_accuracy"] for row in curve
        ]
    assert Image.open(folder / "curve.png").width == 1600


def test_the_polytope_proves_at_least_what_intervals_do(dlrun: Dlrun) -> None:
    train(dlrun, *SMALL)
    accuracies = []
    for method in ("interval", "polytope"):
        folder = f"hydra.run.dir={method}"
        assert dlrun("certify", "run=last", "eps=0.02", f"method={method}", "limit=60", folder).status == 0
        accuracies.append(result(Path(method))["metrics"]["certified_accuracy"])
    assert accuracies[0] < accuracies[1]


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_lipschitz_network_certifies_by_its_margin(dlrun: Dlrun, norm: str) -> None:
    train(dlrun, *LIPSCHITZ, f"model.norm={norm}", "optimizer.lr=0.01", f"loss.margin={0.5 if norm == 'l2' else 0.05}")
    eps = "0.1" if norm == "l2" else "0.005"
    ended = dlrun("certify", "run=last", f"eps=[0,{eps}]", f"attack.norm={norm}", "attack.steps=10", "limit=100")
    assert ended.status == 0, ended.err
    found = result(only_run(Path("runs/certify")))
    assert found["method"] == "lipschitz"
    assert 0 < found["metrics"]["certified_accuracy"] <= found["metrics"]["robust_accuracy"]


def test_a_bound_that_an_attack_contradicts_is_an_internal_error(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> None:
    train(dlrun, *SMALL)

    def wrong(*arguments: Any) -> torch.Tensor:
        return bounds.lower_margins(*arguments) + 1e6

    monkeypatch.setattr(certify, "lower_margins", wrong)
    ended = dlrun("certify", "run=last", "eps=0.3", "limit=50")
    assert ended.status == 1
    assert ended.err.startswith("dlrun: internal error: ")
    assert "certified at eps=0.3, and yet the attack fools them" in ended.err
    assert result(only_run(Path("runs/certify")))["status"] == "failed"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model=lenet", "dataset.image_size=28"), "model: certify cannot handle MaxPool2d (pool1); it knows Linear"),
        (("eps=-1",), "eps=-1: expected 0 or more"),
        (("eps=[]",), "eps=[]: expected 0 or more"),
        (("method=polytop",), "method='polytop': expected"),
        (("attack.norm=l2", "method=interval"), "method=interval: bounds perturbations in linf"),
    ],
)
def test_wrong_input_is_one_line_and_no_folder(dlrun: Dlrun, overrides: tuple[str, ...], message: str) -> None:
    from dlrun.model.lenet import LeNet
    from dlrun.model.linear import Linear

    net = LeNet(1, 28, 10) if "model=lenet" in overrides else Linear(1, 8, 10)
    torch.save(net.state_dict(), "weights.pt")
    plain = ("model=linear", "dataset=digits", "dataset.image_size=8", "weights=weights.pt")
    ended = dlrun("certify", *plain, *overrides)
    assert ended.status == 2
    (line,) = ended.errors
    assert line.startswith(f"dlrun: {message}")
    assert not list(Path("runs").glob("certify/*/*"))


def test_certify_and_attack_give_the_same_attacked_accuracy(dlrun: Dlrun) -> None:
    train(dlrun, *SMALL)
    common = ("run=last", "limit=50", "attack=fgsm")
    assert dlrun("attack", *common, "attack.eps=0.1", "check=0").status == 0
    assert dlrun("certify", *common, "eps=0.1", "method=interval").status == 0
    attacked, certified = (result(only_run(Path("runs", verb)))["metrics"] for verb in ("attack", "certify"))
    assert attacked["robust_accuracy"] == certified["robust_accuracy"]
    assert attacked["clean_accuracy"] == certified["clean_accuracy"] > attacked["robust_accuracy"]
    columns = []
    for verb, name in (("attack", "correct"), ("certify", "resists")):
        with (only_run(Path("runs", verb)) / "examples.csv").open() as stream:
            columns.append([row[name] for row in csv.DictReader(stream)])
    assert columns[0] == columns[1]
    assert len(columns[0]) == 50
