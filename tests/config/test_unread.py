"""Overrides that nothing would read are refused; those that something reads are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlrun.config import compose
from dlrun.errors import UserError
from tests.conftest import Dlrun

READ = [
    ("train", "dataset=mnist", "dataset.root=here"),
    ("train", "dataset=image_folder", "dataset.root=photos", "dataset.on_error=skip"),
    ("train", "trainer.epochs=3", "trainer.steps=100"),  # both are seen
    ("train", "experiment=xor", "trainer.epochs=3"),
    ("finetune", "unfreeze.epoch=2", "unfreeze.lr=0.1"),
    ("evaluate", "model=lenet", "dataset=mnist", "weights=w.pt", "dataset.root=here", "trainer.limit_batches=2"),
    ("certify", "model=lenet", "dataset=mnist", "weights=w.pt", "eps=0.1", "attack.steps=3"),
    ("explain", "model=lenet", "dataset=mnist", "weights=w.pt", "split=val", "order=most_wrong"),
]


@pytest.mark.parametrize("line", READ, ids=" ".join)
def test_what_is_read_is_taken(line: tuple[str, ...]) -> None:
    compose.compose(line[0], line[1:])


def test_epochs_beside_steps_of_an_experiment_are_refused(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text("# @package _global_\ntrainer:\n  steps: 50\n")
    with pytest.raises(UserError) as refused:
        compose.compose("train", ["experiment=mine", "trainer.epochs=3"], str(tmp_path))
    assert str(refused.value) == (
        "trainer.epochs=3: nothing would read it, since trainer.steps=50 overrides it; expected trainer.steps=null too"
    )


def test_a_source_with_a_folder_of_its_own_is_named(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    source = "source: {_target_: dlrun.dataset.image_folder.load, root: /fixed}"
    text = f"defaults: [_base, _self_]\n{source}\nimage_size: 8\nchannels: 3\nnum_classes: 2\n"
    (tmp_path / "dataset/mine.yaml").write_text(text)
    with pytest.raises(UserError, match=r"expected dataset\.source\.root=here$"):
        compose.compose("train", ["dataset=mine", "model=mlp", "dataset.root=here"], str(tmp_path))


def test_a_sweep_over_datasets_may_name_the_folder_of_one(dlrun: Dlrun) -> None:
    both = ("train", "-m", "dataset=digits,image_folder", "dataset.root=photos", "sweep.dry_run=true")
    assert dlrun(*both).status == 0
    ended = dlrun("train", "-m", "seed=0,1", "dataset.root=photos", "sweep.dry_run=true")
    assert ended.status == 2
    assert ended.errors[0].startswith("dlrun: dataset.root=photos: nothing would read it")
