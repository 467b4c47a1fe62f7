"""What beginners type: each line gets what was meant, or one line that names what to type."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, OmegaConf

from dlrun.config import described, shipped, words
from dlrun.config.invocation import Invocation
from dlrun.config.vocabulary import Vocabulary
from dlrun.run import job
from tests.conftest import Dlrun

NAMED = dict(
    pair.strip().split("\n")
    for pair in (Path(__file__).parent / "typed.txt").read_text(encoding="utf-8").split("$ ")[1:]
)
"""Lines that are refused, with the one line that says what to type, or its beginning."""

TAKEN: dict[str, dict[str, Any]] = {
    "train lenet mnist": {"model": "lenet", "dataset": "mnist"},
    "train ResNet18": {"model": "resnet18"},
    "train photos": {"dataset": "image_folder", "dataset.root": "photos"},
    "train w.pt": {"weights": "w.pt"},
    "train optimizer.lr = 0.1 seed= 3": {"optimizer.lr": 0.1, "seed": 3},
    "train dataset=MNIST": {"dataset": "mnist"},
    "train dataset=Fashion-MNIST": {"dataset": "fashion_mnist"},
    "train optimizer=Adam": {"optimizer": "adam"},
    "train logger=wandb": {"logger": "wandb"},
    "train experiment=XOR": {"dataset": "xor", "trainer.epochs": 200},
    "inspect resnet18": {"model": "resnet18"},
    "inspect model=layer 'model.layer=Conv2d(8, 16, (3, 5), bias=False)'": {
        "model.layer": "Conv2d(8, 16, (3, 5), bias=False)"
    },
    """inspect model=layer "model.layer=Conv2d(1,1,3,padding='same')" """: {
        "model.layer": "Conv2d(1,1,3,padding='same')"
    },
    "predict resnet50 photo.jpg": {"model": "resnet50", "input": "photo.jpg"},
    "explain model=lenet dataset=mnist weights=w.pt gradcam photos": {"explainer": "grad_cam", "input": "photos"},
    "train dataset=./photos": {"dataset": "image_folder", "dataset.root": "photos"},
    "train dataset=photos/ model=cnn": {"dataset": "image_folder", "model": "cnn"},
    "finetune resnet18 photos": {"model": "resnet18", "dataset.root": "photos"},
    "reproduce all": {"all": True},
    "reproduce xor moons": {"experiments": ["xor", "moons"]},
}
"""Lines that are taken for what was meant: some choices and values of their configs."""


@pytest.fixture
def begun(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> list[tuple[DictConfig, Invocation]]:
    """The commands that are begun; nothing is run. Photos, weights and a run lie in the working directory."""
    Path("photos/cat").mkdir(parents=True)
    run = Path("runs/train/a/1")
    (run / "checkpoints").mkdir(parents=True)
    for file in ("photo.jpg", "my.yaml", "w.pt", run / "config.yaml", run / "checkpoints/last.pt"):
        Path(file).touch()
    found: list[tuple[DictConfig, Invocation]] = []
    monkeypatch.setattr(job, "run_job", lambda config, invocation, call: found.append((config, invocation)))
    monkeypatch.delenv("SHELL", raising=False)
    monkeypatch.setenv("DLRUN_DATA", "data")
    return found


@pytest.mark.parametrize("line", NAMED)
def test_a_line_names_what_to_type(dlrun: Dlrun, begun: list[Any], line: str) -> None:
    before = sorted(Path().rglob("*"))
    ended = dlrun(*shlex.split(line))
    assert not begun
    assert ended.status == 2
    assert len(ended.errors) == 1
    assert ended.errors[0].startswith(f"dlrun: {NAMED[line]}")
    assert sorted(Path().rglob("*")) == before  # no folder is left


@pytest.mark.parametrize("line", TAKEN)
def test_a_line_is_taken_for_what_was_meant(dlrun: Dlrun, begun: list[Any], line: str) -> None:
    ended = dlrun(*shlex.split(line))
    assert ended.status == 0, ended.err
    ((config, invocation),) = begun
    for key, value in TAKEN[line].items():
        found = invocation.choices[key] if key in invocation.choices else OmegaConf.select(config, key)
        assert found == value


def test_a_line_that_was_read_in_another_way_is_said_as_it_should_be_typed(dlrun: Dlrun, begun: list[Any]) -> None:
    said = "taken as: dlrun train model=lenet dataset=mnist optimizer.lr=0.1\n"
    assert dlrun("train", "lenet", "MNIST", "optimizer.lr", "=", "0.1").out == said
    assert dlrun("train", "model=lenet", "dataset=mnist", "optimizer.lr=0.1").out == ""


def test_lines_are_tried_by_the_hundred() -> None:
    assert len(NAMED) + len(TAKEN) >= 200


def test_every_word_of_the_table_leads_to_something_that_exists() -> None:
    for group, named in words.CHOICES.items():
        choices = described.choices(group)
        for word, choice in named.items():
            assert choice in choices or choice == "null"
            assert word not in {words.plain(name) for name in choices}, "it hides a choice"
    keys = {"hydra.run.dir", *(key for verb in shipped.verbs() for key in Vocabulary(verb).top)}
    for group in Vocabulary("train").choices.keys() | Vocabulary("explain").choices.keys():
        keys |= {f"{group}.{key}" for file in described.choices(group).values() for key in described.of_choice(file)}
    for word, text in words.KEYS.items():
        if not text.startswith(("-", "dlrun ")):
            assert text.split("=")[0] in keys, word
    for word, command in words.VERBS.items():
        assert word not in shipped.verbs(), "it hides a verb"
        assert command.split()[1] in (*shipped.verbs(), "--version", "tensorboard")


@pytest.mark.parametrize("key", words.VALUES)
def test_values_with_another_word_are_no_values_here(key: str) -> None:
    choices = {words.plain(name) for name in described.choices(key)} if "." not in key else set[str]()
    assert not choices & words.VALUES[key].keys()


def test_the_flags_are_those_of_hydra() -> None:
    known = {name: int(one.nargs != 0) for one in get_args_parser()._actions for name in one.option_strings}
    assert known == words.FLAGS
