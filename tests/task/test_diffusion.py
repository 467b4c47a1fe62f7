"""Diffusion: its loss against a plain loop, a training from the command line, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlrun.callback.generated_by_class import GeneratedByClass
from dlrun.callback.judge import Judged
from dlrun.model.diffusion_unet import DiffusionUNet
from dlrun.model.normalized import Normalized
from dlrun.task.diffusion import Diffusion
from dlrun.task.task import Clock
from tests.conftest import Dlrun, result

SMALL = (
    "task=diffusion",
    "model=diffusion_unet",
    "model.widths=[8,8]",
    "dataset.image_size=8",
    "dataset.per_class=10",
    "trainer.epochs=2",
    "callback.tensorboard.graph=false",
)
BY_CLASS = "+callback.generated={_target_: dlrun.callback.generated_by_class.GeneratedByClass, epochs: [1]}"


def made() -> Normalized:
    torch.manual_seed(0)
    return Normalized(DiffusionUNet(1, 8, 3, widths=[8]), [0.5], [0.1])  # a normalisation that changes nothing


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {"image": torch.rand(6, 1, 8, 8), "target": torch.tensor([0, 1, 2, 0, 1, 2])}


def test_the_loss_is_that_of_a_plain_loop() -> None:
    model, task, given = made(), Diffusion(nn.MSELoss(), 3), batch()
    prepared = task.prepare(model, given, Clock(training=True))
    assert next(iter(prepared)) == "image"
    assert 1 <= int(prepared["times"].min()) < int(prepared["times"].max()) <= 1000
    loss, guesses = task.loss(model, prepared)

    network = cast(DiffusionUNet, model.network)
    added = torch.linspace(1e-4, 0.02, 1000)
    total, expected = torch.zeros(()), []
    for image, label, time, noise in zip(
        *(prepared[key] for key in ("image", "target", "times", "noise")), strict=True
    ):
        left = (1 - added[:time]).prod()
        noisy = left.sqrt() * (2 * image - 1) + (1 - left).sqrt() * noise
        said = network(noisy[None], time[None], label[None])[0]
        total = total + F.mse_loss(said, noise) / 6
        expected.append((((noisy - (1 - left).sqrt() * said) / left.sqrt() + 1) / 2).clamp(0, 1))
    assert loss.item() == pytest.approx(total.item(), abs=1e-5)
    assert torch.allclose(guesses, torch.stack(expected), atol=1e-3)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_every_evaluation_has_the_same_noise_and_every_step_its_own() -> None:
    model, task, given = made(), Diffusion(nn.MSELoss(), 3), batch()
    first, again, next_one = (task.prepare(model, given, Clock(step=step)) for step in (0, 0, 1))
    assert torch.equal(first["noise"], again["noise"])
    assert torch.equal(first["times"], again["times"])
    assert not torch.equal(first["noise"], next_one["noise"])
    steps = [task.prepare(model, given, Clock(training=True))["noise"] for _ in range(2)]
    assert not torch.equal(*steps)


def test_the_share_is_of_images_that_show_what_was_asked_for() -> None:
    drawn: dict[str, Any] = {}
    trainer: Any = SimpleNamespace(
        model=made(),
        eval_model=made(),
        device=torch.device("cpu"),
        data=SimpleNamespace(classes=["a", "b", "c"]),
        recorder=SimpleNamespace(figure=lambda name, figure, step: drawn.update({name: figure})),
        cursor=SimpleNamespace(best_epoch=1),
    )
    seen = torch.tensor([0, 1, 2, 0, 2, 2, 1, 1])  # of 0, 1, 2, 0, 1, 2, 0, 1
    found = GeneratedByClass().also(trainer, Judged(torch.zeros(8, 2), torch.eye(3)[seen]))
    assert found == {"asked_share": 6 / 8}
    assert list(drawn) == ["classes"]


def test_a_training_draws_and_measures_and_more_can_be_drawn(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlrun.callback.judge.STEPS", 5)
    ended = dlrun("train", *SMALL, BY_CLASS, "hydra.run.dir=run")
    assert ended.status == 0, ended.err
    metrics = result(Path("run"))["metrics"]
    assert 0 <= metrics["test/asked_share"] <= 1
    assert 0 < metrics["test/loss"] < 2
    assert {"classes.png", "denoised.png", "growth.png"} <= {file.name for file in Path("run/figures").iterdir()}
    drawn = dlrun("visualize", "run=run", "visualizer=samples", "visualizer.count=11", "hydra.run.dir=drawn")
    assert drawn.status == 0, drawn.err
    assert {"samples.png", "interpolation.png"} <= {file.name for file in Path("drawn").iterdir()}
    assert dlrun("inspect", "run=run").status == 0
    ended = dlrun("export", "run=run", "format=torch_export")
    assert (ended.status, len(ended.errors)) == (2, 1), ended.err
    assert "that of task=diffusion reads an image, a time and a class; expected format=state_dict" in ended.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("model=linear",), "gives 10 outputs; task=diffusion expects the noise in an image, as of diffusion_unet"),
        (("model=unet",), "model=UNet: task=diffusion needs a network of noisy images; expected model=diffusion_unet"),
        (
            ("dataset.augment.mixup=0.2",),
            "task=diffusion: takes one class for each image; expected dataset.augment.mixup=0",
        ),
    ],
)
def test_what_cannot_work_is_refused(dlrun: Dlrun, words: tuple[str, ...], complaint: str) -> None:
    ended = dlrun("train", *SMALL[:2], *SMALL[3:], *words)
    assert (ended.status, len(ended.errors)) == (2, 1), ended.err
    assert complaint in ended.err


def test_a_generator_that_knows_no_classes_is_refused_by_their_callback(dlrun: Dlrun) -> None:
    ended = dlrun("train", "model=dcgan", "task=gan", "dataset.image_size=8", BY_CLASS)
    assert (ended.status, len(ended.errors)) == (2, 1), ended.err
    assert "takes a generator that is told a class; expected model=diffusion_unet" in ended.err
