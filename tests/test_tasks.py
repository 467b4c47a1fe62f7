"""Every task of configs/task: killed after a checkpoint and continued exactly; then evaluate, replay and export it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dlrun import paths
from dlrun.training.trainer import Trainer
from tests.conftest import Dlrun, result

COMMON = ("trainer.epochs=2", "callback.tensorboard=null", "callback.curves=null", "dataset.image_size=8")
LINEAR = ("model=linear", "dataset.per_class=12")
TASKS = {
    "adversarial": LINEAR,
    "captioning": (
        "model=captioner",
        "model.widths=[4,4]",
        "model.pools=1",
        "model.hidden=8",
        "dataset=shapes",
        "dataset.source.train=70",
        "dataset.source.test=10",
        "dataset.batch_size=10",
        "callback.checkpoint.every_steps=3",
    ),
    "certified": ("model=mlp", "model.width=8", "dataset.per_class=12", "task.clean_epochs=0"),
    "classification": LINEAR,
    "clip": (
        "model=clip",
        "model.widths=[4]",
        "model.width=8",
        "dataset=shapes",
        "dataset.source.train=70",
        "dataset.source.test=10",
        "dataset.batch_size=10",
        "callback.checkpoint.every_steps=3",
    ),
    "diffusion": ("model=diffusion_unet", "model.widths=[8]", "dataset.per_class=8"),
    "gan": ("model=dcgan", "model.width=4", "model.latent=4", "dataset.normalize=false", "dataset.per_class=8"),
    "multi_label": (
        "model=linear",
        "dataset=both_digits",
        "dataset.source.source=digits",
        "dataset.source.train=100",
        "dataset.source.test=20",
    ),
    "perceptron": ("model=perceptron", "dataset=gates", "dataset.image_size=1", "loss=hinge"),
    "reconstruction": ("model=autoencoder", "dataset.per_class=4", "dataset.image_size=28", "model.latent=2"),
    "regression": ("model=mlp", "model.width=4", "dataset=diabetes", "dataset.image_size=1"),
    "segmentation": (
        "model=fcn",
        "model.width=4",
        "dataset=scattered_digits",
        "dataset.source.source=digits",
        "dataset.source.digit_size=4",
        "dataset.source.train=70",
        "dataset.source.test=10",
        "dataset.batch_size=10",
    ),
    "seq2seq": (
        "model=seq2seq",
        "model.hidden=8",
        "dataset=addition",
        "dataset.source.train=70",
        "dataset.source.test=10",
        "dataset.batch_size=10",
        "callback.checkpoint.every_steps=3",
    ),
    "siamese": ("model=linear", "dataset.per_class=40"),
}
"""What a small training of each takes besides."""
QUICK = ("multi_label", "regression", "siamese")
"""Those that are tried with every change; the others take as long together as all of these tests may."""


class Killed(BaseException):
    """The process is gone."""


def end_of(run: Path) -> dict[str, object]:
    """What two runs must have in common: their weights and figures."""
    found: dict[str, object] = {
        name: values.numpy().tobytes()
        for name, values in torch.load(run / "checkpoints" / "last.pt", weights_only=True)["model"].items()
    }
    return {**found, "metrics": result(run)["metrics"], "epochs": (run / "metrics.csv").read_text()}


def test_every_task_is_tried() -> None:
    assert sorted(TASKS) == sorted(file.stem for file in (paths.configs() / "task").glob("[a-z]*.yaml"))


@pytest.mark.parametrize("task", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in TASKS])
def test_a_training_of_each_task_is_killed_and_continued_exactly_and_serves_the_verbs(
    dlrun: Dlrun, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("train", f"task={task}", *COMMON, *TASKS[task])
    whole = dlrun(*words, "hydra.run.dir=whole")
    assert whole.status == 0, whole.err

    save = Trainer.save

    def killed(self: Trainer) -> None:
        save(self)
        if self.cursor.step:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "save", killed)
        with pytest.raises(Killed):
            dlrun(*words, "hydra.run.dir=killed")
    assert result(Path("killed"))["status"] != "completed"
    ended = dlrun("train", "run=killed")
    assert ended.status == 0, ended.err
    assert end_of(Path("killed")) == end_of(Path("whole"))

    for verb in ("evaluate", "replay", "export"):
        ended = dlrun(verb, "run=whole", f"hydra.run.dir={verb}")
        assert ended.status in (0, 2), ended.err
        assert len(ended.errors) <= (ended.status > 0), ended.err
        if ended.status == 0 and verb == "evaluate":
            measured, wanted = (result(Path(run))["metrics"] for run in ("evaluate", "whole"))
            shared = [name for name in measured if name in wanted]
            assert shared
            assert {name: measured[name] for name in shared} == pytest.approx({name: wanted[name] for name in shared})
        if verb == "replay":
            assert ended.status == 0, ended.err
