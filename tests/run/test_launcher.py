"""Who starts processes, and who does not; and runs of before there were any."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from dlrun.config import saved
from tests.conftest import QUICK, Dlrun


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ["train", "-m", *QUICK, "seed=0,1", "trainer.devices=2"],
            "trainer.devices=2: the jobs of a sweep start no processes; expected 1, or torchrun --nproc-per-node=2",
        ),
        (
            ["train", "-m", *QUICK, "trainer.devices=1,3"],
            "trainer.devices=1: the jobs of a sweep start no processes; expected 1, or torchrun --nproc-per-node=2",
        ),
        (
            ["predict", "model=resnet18", "weights=DEFAULT", "input=photo.jpg", "trainer.devices=2"],
            "trainer.devices=2: nothing would read it, since dlrun predict runs in one process",
        ),
        (["train", *QUICK, "trainer.devices=0"], "trainer.devices=0: expected greater than 0"),
    ],
)
def test_no_processes_are_started(dlrun: Dlrun, words: list[str], complaint: str) -> None:
    ended = dlrun(*words)
    assert ended.status == 2
    assert ended.errors[0].startswith(f"dlrun: {complaint}")
    assert not Path("runs").exists()


def test_what_was_accumulated_are_replicas_of_one_batch(tmp_path: Path) -> None:
    for count, replicas, size in ((1, None, 32), (4, 4, 128)):
        config = {"verb": "train", "name": "a", "dataset": {"batch_size": 32}, "trainer": {"accumulate": count}}
        OmegaConf.save(OmegaConf.create(config), tmp_path / "config.yaml")
        found = saved.load(tmp_path)
        assert found.dataset.batch_size == size
        assert found.trainer == {"devices": 1, "replicas": replicas, "sync_batch_norm": False}
