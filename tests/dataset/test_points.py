from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC
from torch import Tensor

from dlrun import cli
from dlrun.dataset import points
from dlrun.dataset.source import Splits
from tests.conftest import Dlrun, only_run, result


def arrays(splits: Splits, part: str = "train") -> tuple[Tensor, Tensor]:
    source = getattr(splits, part)
    return source.tensors["point"], source.targets


@pytest.mark.parametrize("splits", [points.gate("xor"), points.blobs(50), points.moons(50), points.polygons(50)])
def test_points_are_vectors_of_two_floats_in_the_unit_square(splits: Splits) -> None:
    assert list(splits.fields) == ["point", "target"]
    for part in ("train", "test"):
        values, targets = arrays(splits, part)
        assert values.shape == (len(targets), 2)
        assert values.dtype == torch.float32
        assert 0 <= values.min() <= values.max() <= 1
        assert set(targets.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("gate", "function"),
    [
        ("and", lambda a, b: a and b),
        ("or", lambda a, b: a or b),
        ("nand", lambda a, b: not (a and b)),
        ("nor", lambda a, b: not (a or b)),
        ("xor", lambda a, b: a != b),
    ],
)
def test_gates_are_their_truth_tables(gate: str, function: object) -> None:
    inputs, targets = arrays(points.gate(gate))  # type: ignore[arg-type]
    assert targets.tolist() == [int(function(*map(bool, pair))) for pair in inputs.tolist()]  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(5))
def test_two_blobs_are_linearly_separable(seed: int) -> None:
    inputs, targets = arrays(points.blobs(200, seed=seed))
    assert LinearSVC(C=1e4, loss="hinge", max_iter=100_000).fit(inputs, targets).score(inputs, targets) == 1


def test_moons_without_noise_lie_on_half_circles() -> None:
    inputs, targets = arrays(points.moons(100, noise=0.0))
    centres = torch.tensor([[1.5, 1.75], [2.5, 2.25]]) / 4
    radii = (inputs - centres[targets]).norm(dim=1)
    torch.testing.assert_close(radii, torch.full((100,), 0.25))


def test_a_polygon_is_an_intersection_of_half_planes() -> None:
    inputs, targets = arrays(points.polygons(500))
    inside = torch.zeros(500, dtype=torch.bool)
    for corners in points.POLYGONS:
        ends = np.roll(np.array(corners), -1, axis=0)
        sides = []
        for (x0, y0), (x1, y1) in zip(corners, ends.tolist(), strict=True):
            sides.append((x1 - x0) * (inputs[:, 1] - y0) - (y1 - y0) * (inputs[:, 0] - x0))
        stacked = torch.stack(sides)
        inside |= (stacked > 0).all(dim=0) | (stacked < 0).all(dim=0)
    assert torch.equal(targets.bool(), inside)
    assert 0.15 < inside.float().mean() < 0.5


TRAINING = ("train", "model=mlp", "dataset=moons", "dataset.source.count=100", "trainer.epochs=5", "hydra.run.dir=run")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training on points."""
    folder = tmp_path_factory.mktemp("points")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["dlrun", *TRAINING])
        with pytest.raises(SystemExit) as end:
            cli.main()
    assert not end.value.code
    return folder / "run"


def verb(dlrun: Dlrun, run: Path, *arguments: str) -> Path:
    """The folder of a verb on the run."""
    ended = dlrun(arguments[0], f"run={run}", "hydra.run.dir=found", *arguments[1:])
    assert ended.status == 0, ended.err
    return only_run(Path("found"))


def test_a_model_of_points_takes_vectors(run: Path) -> None:
    assert (run / "figures/decision_map.png").exists()
    assert (run / "figures/samples.png").exists()
    state = torch.load(run / "checkpoints/best.pt", weights_only=True)["model"]
    assert next(iter(state.values())).shape == (128, 2)
    assert "shape:\n  - 2\n" in (run / "config.yaml").read_text()


def test_points_are_attacked_within_the_ball(dlrun: Dlrun, run: Path) -> None:
    folder = verb(dlrun, run, "attack", "attack=pgd", "attack.eps=[0,0.05,0.3]", "save=true")
    curve = result(folder)["curve"]
    clean = result(run)["metrics"]["test/accuracy"]
    accuracies = [step["robust_accuracy"] for step in curve]
    assert accuracies[0] == result(folder)["metrics"]["clean_accuracy"] == pytest.approx(clean)
    assert accuracies[0] > accuracies[1] > accuracies[2]
    saved = torch.load(folder / "adversarial.pt", weights_only=True)["images"]
    points_before, attacked = saved[0], saved[1]
    assert saved.shape == (3, 100, 2)
    assert saved.min() >= 0
    assert saved.max() <= 1
    change = (attacked - points_before).abs().amax(dim=1)
    assert 0.01 < change.max() <= 0.05 + 1e-6
    with (folder / "examples.csv").open() as stream:
        told = [float(row["linf"]) for row in csv.DictReader(stream) if row["eps"] == "0.05"]
    np.testing.assert_allclose(told, change, atol=1e-6)


def test_points_are_certified_below_what_an_attack_finds(dlrun: Dlrun, run: Path) -> None:
    metrics = result(verb(dlrun, run, "certify", "eps=0.01"))["metrics"]
    assert 0.5 < metrics["certified_accuracy"] <= metrics["robust_accuracy"] <= metrics["clean_accuracy"]


@pytest.mark.parametrize("command", ["explain", "visualize", "predict"])
def test_verbs_that_show_images_refuse_points(dlrun: Dlrun, run: Path, command: str) -> None:
    Path("photo.png").touch()
    ended = dlrun(command, f"run={run}", "hydra.run.dir=found", *(["input=photo.png"] if command == "predict" else []))
    assert ended.status == 2
    assert ended.errors == [
        f"dlrun: dataset.source._target_=dlrun.dataset.points.moons: {command} needs images of 1 or 3 channels;"
        " an example of this dataset is 2 numbers"
    ]


@pytest.mark.parametrize(
    "task", [("task=adversarial", "attack=pgd", "attack.eps=0.05"), ("task=certified", "task.eps=0.01")]
)
def test_tasks_of_robustness_train_on_points(dlrun: Dlrun, task: tuple[str, ...]) -> None:
    ended = dlrun(*TRAINING, *task, "callback.decision_map=null", "callback.tensorboard.images=0", "optimizer.lr=0.1")
    assert ended.status == 0, ended.err
    metrics = result(Path("run"))["metrics"]
    assert metrics["test/accuracy"] > 0.7
    if "attack=pgd" in task:
        assert metrics["test/robust_accuracy"] < metrics["test/accuracy"]
