"""What explains the keys, and what is listed where nothing is run."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from dlrun import paths
from dlrun.config import described
from dlrun.experiment import header
from tests.conftest import Dlrun
from tests.test_configs import composed

FILES = sorted(file for file in paths.configs().glob("*/*.yaml") if file.parent.name != "experiment")


@pytest.mark.parametrize("file", FILES, ids=lambda file: "/".join(file.parts[-2:]))
def test_the_keys_of_a_file_are_those_that_yaml_reads(file: Path) -> None:
    """Apart from flow style, ``{crop: 0}``, whose keys are a value here."""
    config = OmegaConf.load(file)
    for key in described.keys(file):
        value = OmegaConf.select(config, key.name, throw_on_resolution_failure=False)
        if key.value in ("null", "???") or "${" in key.value:
            continue
        assert OmegaConf.is_config(value) if not key.value else value == OmegaConf.create(f"v: {key.value}").v


def test_a_printed_config_says_what_its_keys_mean_and_is_still_the_config(dlrun: Dlrun) -> None:
    text = dlrun("train", "model=cnn", "--cfg", "job", "--package", "trainer").out
    assert "epochs: 10              # passes over the training images\n" in text
    assert "clip_norm: null         # largest gradient norm\n" in text
    whole = dlrun("train", "model=cnn", "--cfg", "job").out
    assert OmegaConf.to_container(OmegaConf.create(whole)) == OmegaConf.to_container(composed("train", "model=cnn"))
    assert [line.split() for line in whole.splitlines() if "widths:" in line] == [
        ["widths:", "#", "channels", "of", "each", "block"]
    ]
    ended = dlrun("train", "--cfg", "job", "--package", "trainerr")
    assert ended.status == 2
    assert ended.errors[0].startswith("dlrun: --package=trainerr: no such section; did you mean 'trainer'?")


def test_help_of_a_group_gives_its_keys_with_their_meaning(dlrun: Dlrun) -> None:
    lines = dlrun("train", "--help", "trainer").out.splitlines()
    assert lines[0] == "trainer=default"
    assert "  trainer.epochs=10              passes over the training images" in lines
    assert dlrun("help", "trainer").out.splitlines() == lines
    assert "  model.widths=[32, 64]                     channels of each block" in dlrun("help", "cnn").out
    inherited = dlrun("explain", "--help", "explainer=occlusion").out
    assert "how many of the most probable classes" in inherited
    assert "  unfreeze.epoch=null  " in dlrun("finetune", "--help", "unfreeze").out
    assert "  dataset.augment.flip=0.0  " in dlrun("finetune", "--help", "dataset").out  # not the 0.5 of image_folder
    assert dlrun("help", "train").out == dlrun("train", "--help").out == dlrun("train", "help").out
    assert "Look at: figures/decision_map.png" in dlrun("train", "--help", "experiment=xor").out


def test_a_bare_reproduce_lists_what_it_could_do(dlrun: Dlrun) -> None:
    ended = dlrun("reproduce")
    assert ended.status == 0
    for name in header.names():
        assert f"\n  {name} " in ended.out
    assert "dlrun reproduce all=true " in ended.out
    refused = dlrun("reproduce", "fresh=true")
    assert refused.errors == [
        "dlrun: experiments: none chosen; expected their names, embedded=true, lessons=true or all=true"
    ]
    assert not list(Path().iterdir())


def test_a_bare_lesson_lists_the_lessons_and_help_tells_of_one(dlrun: Dlrun) -> None:
    ended = dlrun("lesson")
    assert ended.status == 0
    for name in header.names("lesson"):
        assert f"\n  {name} " in ended.out
    about = dlrun("lesson", "--help", "lesson=least_squares").out
    assert about.startswith("lesson=least_squares: ")
    assert "Look at: figures/trajectories.png" in about
    assert "  lesson.steps=40  of gradient descent" in about
    assert "least_squares" in dlrun("lesson", "--help", "lesson").out
    assert not list(Path().iterdir())
