"""How good made images are: measures against their closed forms, and pictures that a continued training has too."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from dlrun.callback.judge import Judge, Judged, quality
from dlrun.dataset import digits
from dlrun.dataset.data import Data
from dlrun.dataset.field import images
from dlrun.dataset.loader import Loader
from dlrun.model.dcgan import DCGAN
from dlrun.model.generative import Generative, noise
from dlrun.task.frechet import frechet
from dlrun.visualizer.samples import way
from tests.conftest import Dlrun, result
from tests.task.test_gan import SMALL

CPU = torch.device("cpu")
GENERATED = "+callback.generated={_target_: dlrun.callback.generated.Generated, epochs: [1, 3]}"


def sure(*classes: int) -> torch.Tensor:
    return torch.eye(4)[list(classes)]


def test_measures_are_those_of_their_formulas() -> None:
    torch.manual_seed(0)
    half, other, uniform = torch.randn(200, 3), torch.randn(200, 3), 5 + torch.randn(200, 3)
    classes = [0] * 100 + [1] * 98 + [2, 3]
    real = Judged(torch.cat([half, other]), sure(*classes, *classes))
    found = quality(Judged(half, sure(*classes)), real, Judged(uniform, sure(*classes)))
    assert found["frechet_distance"] == pytest.approx(0, abs=1e-9)
    assert found["real_distance"] == pytest.approx(frechet(other, half))
    assert found["noise_distance"] == pytest.approx(frechet(uniform, half))
    assert found["noise_distance"] > 70  # 3 times 5^2
    expected = sum(share * math.log(share * 4) for share in (0.5, 0.49, 0.005, 0.005))
    assert found["class_divergence"] == pytest.approx(expected)
    assert (found["classes"], found["confident_share"]) == (2, 1)
    one = quality(Judged(half, torch.full((200, 4), 0.25)), real, Judged(uniform, sure(*classes)))
    assert one["class_divergence"] == pytest.approx(math.log(4))
    assert one["confident_share"] == 0


def test_the_judge_knows_the_digits_and_leaves_the_random_numbers_alone() -> None:
    splits = digits.load(8)

    def loader(part: object) -> Loader:
        return Loader(part, 512, CPU, in_memory=True, workers=0, num_classes=10)  # type: ignore[arg-type]

    data = Data(loader(splits.train), loader(splits.test), loader(splits.test), splits.classes, images())
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    judge = Judge(data, CPU)
    assert torch.equal(torch.rand(3), expected)
    batch = next(data.test.epoch())
    judged = judge(batch["image"])
    assert judged.features.shape == (len(batch["image"]), 84)
    assert (judged.probabilities.argmax(dim=1) == batch["target"]).float().mean() > 0.95


def test_a_way_keeps_to_the_sphere_and_ends_at_both_ends() -> None:
    start, end = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    found = way(start, end, 3)
    assert torch.allclose(found, torch.tensor([[3.0, 0.0], [4.5**0.5] * 2, [0.0, 3.0]]), atol=1e-5)


def test_noise_is_the_same_every_time() -> None:
    network = DCGAN(1, 8, latent=5, width=4)
    assert isinstance(network, Generative)
    assert torch.equal(noise(network, 3, 1), noise(network, 3, 1))
    assert noise(network, 3, 1).shape == (3, 5)
    assert not torch.equal(noise(network, 3, 1), noise(network, 3, 2))


def test_a_training_that_was_cut_in_two_has_the_same_pictures(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlrun.callback.judge.STEPS", 60)
    constant = (*SMALL, "scheduler=constant", GENERATED)
    ended = dlrun("train", *constant, "hydra.run.dir=whole")
    assert ended.status == 0, ended.err
    found = result(Path("whole"))["metrics"]
    assert 0 < found["test/real_distance"] < found["test/frechet_distance"] < 3 * found["test/noise_distance"]
    assert found["test/frechet_ratio"] == pytest.approx(found["test/frechet_distance"] / found["test/noise_distance"])
    assert dlrun("train", *constant, "trainer.epochs=2", "hydra.run.dir=parts").status == 0
    assert dlrun("train", "run=parts", "trainer.epochs=3").status == 0
    whole, parts = (Path(name, "figures", "growth.png").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    drawn = dlrun("visualize", "run=whole", "visualizer=samples", "visualizer.count=6", "hydra.run.dir=drawn")
    assert drawn.status == 0, drawn.err
    assert {"samples.png", "interpolation.png"} <= {file.name for file in Path("drawn").iterdir()}


def test_what_makes_no_images_is_refused(dlrun: Dlrun) -> None:
    ended = dlrun("train", "model=linear", "dataset.image_size=8", GENERATED)
    assert (ended.status, len(ended.errors)) == (2, 1)
    assert "Generated takes a generator; expected model=dcgan" in ended.err
