"""Who starts processes, and who does not; and runs of before there were any."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from omegaconf import OmegaConf

from dlrun.config import saved
from dlrun.config.plan import SLURM, Plan
from dlrun.errors import UserError
from dlrun.run import launcher
from tests.conftest import QUICK, Dlrun


def test_a_job_of_slurm_has_tasks_and_no_devices() -> None:
    config = OmegaConf.create({"trainer": {"devices": 4}})
    plan = cast(Plan, SimpleNamespace(config=config, swept=[], launcher=SLURM, verb="train"))
    with pytest.raises(UserError, match=r"expected 1, or hydra\.launcher\.tasks_per_node=4, which share it"):
        launcher.check_sweep(plan)


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
        (["train", *QUICK, "hydra/launcher=ray"], "hydra/launcher=ray: no sweep, so that it would start nothing"),
        (["train", *QUICK, "trainer.devices=0"], "trainer.devices=0: expected greater than 0"),
    ],
)
def test_no_processes_are_started(dlrun: Dlrun, words: list[str], complaint: str) -> None:
    ended = dlrun(*words)
    assert ended.status == 2
    assert ended.errors[0].startswith(f"dlrun: {complaint}")
    assert not Path("runs").exists()


def test_a_gan_of_before_there_was_r1_has_none(tmp_path: Path) -> None:
    config = {"verb": "train", "name": "a", "task": {"_target_": "dlrun.task.gan.GAN"}}
    OmegaConf.save(OmegaConf.create(config), tmp_path / "config.yaml")
    assert saved.load(tmp_path).task.r1 == 0


def test_what_was_accumulated_are_replicas_of_one_batch(tmp_path: Path) -> None:
    for count, replicas, size in ((1, None, 32), (4, 4, 128)):
        config = {"verb": "train", "name": "a", "dataset": {"batch_size": 32}, "trainer": {"accumulate": count}}
        OmegaConf.save(OmegaConf.create(config), tmp_path / "config.yaml")
        found = saved.load(tmp_path)
        assert found.dataset.batch_size == size
        assert found.trainer == {"devices": 1, "replicas": replicas, "sync_batch_norm": False, "shard": False}
