"""Values that are right by themselves and cannot work together: refused before any data loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlrun.compute import device
from tests.conftest import QUICK, Dlrun


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        (
            ("trainer.replicas=4", "trainer.sync_batch_norm=true"),
            "trainer.sync_batch_norm=true: trainer.replicas=4 are normalised each by itself; expected null",
        ),
        (
            ("trainer.accumulate=4",),
            "trainer.accumulate=4: no such key; expected trainer.replicas=4 with a dataset.batch_size that",
        ),
        (("scheduler=step", "scheduler.every=3"), "scheduler.every=3: more than trainer.epochs=2"),
        (("scheduler.warmup_epochs=3",), "scheduler.warmup_epochs=3: more than trainer.epochs=2"),
        (("scheduler.warmup_steps=9", "trainer.steps=5"), "scheduler.warmup_steps=9: more than trainer.steps=5"),
        (("trainer.validate_every=3",), "trainer.validate_every=3: more than trainer.epochs=2"),
        (
            ("model=lenet",),
            "dlrun: model: lenet takes images of 12x12 or more, not 8x8; expected ",
        ),
        (
            ("dataset.image_size=1", "model=cnn"),
            "dlrun: model: cnn reads images, and these are none, or 1x1; expected model=signal_cnn or rnn for signals",
        ),
        (
            ("dataset.mean=[0.1,0.2]",),
            "dataset.mean=[0.1, 0.2]: 2 values, and dataset.channels=1; expected one for each channel",
        ),
        (
            ("dataset.std=[0.1,0.2,0.3]", "dataset.mean=[0.5]"),
            "dataset.std=[0.1, 0.2, 0.3]: 3 values, and dataset.channels=1; expected one for each channel",
        ),
        (
            ("dataset.classes=[1,2]", "dataset.num_classes=3"),
            "dataset.num_classes=3: nothing would read it, since dataset.classes says how many there are",
        ),
        (
            ("dataset.normalize=false", "dataset.mean=[0.5]"),
            "dataset.mean=[0.5]: nothing would read it, since dataset.normalize=false; expected true too",
        ),
        (("model.num_classes=7",), "model=Linear: gives 7 outputs for an image; expected 10"),
    ],
)
def test_refused_before_any_data_loads(
    dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch, override: tuple[str, ...], complaint: str
) -> None:
    def load(*_: object) -> None:
        pytest.fail("data loaded")

    monkeypatch.setattr("dlrun.build.data", load)
    ended = dlrun("train", *QUICK, *override)
    assert ended.status == 2
    assert complaint in ended.err
    assert len(ended.errors) == 1
    assert not [file for file in Path("runs").rglob("*") if file.is_file()]


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("scheduler.warmup_steps=83", "scheduler.warmup_steps=83: the run has 82 steps; expected at most as many"),
    ],
)
def test_refused_when_the_data_is_counted(dlrun: Dlrun, override: str, complaint: str) -> None:
    ended = dlrun("train", *QUICK, override)
    assert (ended.status, ended.errors) == (2, [f"dlrun: {complaint}"])


@pytest.mark.parametrize(
    ("loss", "complaint"),
    [
        ("cross_entropy", "loss=CrossEntropyLoss"),
        ("kl", "loss=KLDivergence has zero gradient with one output"),
        ("bce", ""),
        ("hinge", ""),
        ("mse", ""),
    ],
)
def test_a_loss_that_does_not_fit_one_logit_is_refused(dlrun: Dlrun, loss: str, complaint: str) -> None:
    Path("one_logit.py").write_text(
        "import torch\nfrom dlrun.dataset.source import Splits, labelled\n"
        "class Net(torch.nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(torch.nn.Flatten(), torch.nn.Linear(16, 1))\n"
        "def load():\n    images = torch.arange(256, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)\n"
        "    source = labelled(images, (images[:, 0, 0, 0] > 127).long())\n"
        "    return Splits(source, source, ['dark', 'bright'])\n"
    )
    for group, text in (
        ("model", "_target_: one_logit.Net\n"),
        (
            "dataset",
            "defaults: [_base, _self_]\nsource: {_target_: one_logit.load}\n"
            "image_size: 4\nchannels: 1\nnum_classes: 2\nbatch_size: 16\n",
        ),
    ):
        (Path("conf") / group).mkdir(parents=True)
        (Path("conf") / group / "one.yaml").write_text(text)
    ended = dlrun("train", "--config-dir", "conf", "model=one", "dataset=one", f"loss={loss}", *QUICK[2:])
    assert ended.status == (2 if complaint else 0), ended.err
    assert complaint in ended.err


def test_the_workers_of_a_sweep_take_one_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    chosen = []
    for number in (None, 1, 2, 3):
        monkeypatch.setattr("dlrun.interrupt.worker_number", lambda number=number: number)
        chosen.append(str(device.choose("auto")))
    assert chosen == ["cuda", "cuda:0", "cuda:1", "cuda:0"]
    assert str(device.choose("cuda:1")) == "cuda:1"


def test_numbers_of_a_list_may_be_whole(dlrun: Dlrun) -> None:
    whole = ("optimizer=adam", "optimizer.betas=[0,0]", "dataset.mean=[0]", "dataset.std=[1]")
    ended = dlrun("train", *QUICK, *whole, "hydra.run.dir=whole")
    assert ended.status == 0, ended.err
    floats = [text.replace("0", "0.0").replace("1", "1.0") for text in whole]
    assert dlrun("train", *QUICK, *floats, "hydra.run.dir=floats").status == 0
    assert Path("whole/metrics.csv").read_text() == Path("floats/metrics.csv").read_text()
