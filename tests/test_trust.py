"""A run folder from a stranger: none of its code runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from tests.conftest import QUICK, Dlrun, Train

# What a stranger may plant, and where: each would leave a file called "executed" if it ran.
PLANTED: list[tuple[str, dict[str, Any]]] = [
    ("model", {"_target_": "os.system", "command": "touch executed"}),
    ("model", {"_target_": "torch.os.system", "command": "touch executed"}),
    ("model", {"_target_": "torch.nn.modules.module.torch.os.system", "command": "touch executed"}),
    ("loss", {"_target_": "torch.hub.load", "repo_or_dir": ".", "model": "planted", "source": "local"}),
    ("loss", {"_target_": "dlrun.files.write_whole", "path": "executed", "text": ""}),
    ("task", {"_target_": "dlrun.dataset.image_folder.Path.touch", "self": "executed"}),
    ("dataset.source", {"_target_": "planted.load"}),
    ("model.activation", {"_target_": "builtins.exec", "_args_": ["open('executed', 'w')"]}),
    ("trainer.device", {"_target_": "os.system", "command": "touch executed"}),
]


@pytest.mark.parametrize(("place", "planted"), PLANTED)
@pytest.mark.parametrize("verb", ["evaluate", "train", "replay"])
def test_a_target_from_elsewhere_is_refused_and_not_run(
    dlrun: Dlrun, train_once: Train, verb: str, place: str, planted: dict[str, Any]
) -> None:
    train_once(*QUICK, "trainer.epochs=1", "hydra.run.dir=theirs")
    Path("planted.py").write_text("open('executed', 'w')")
    Path("hubconf.py").write_text("open('executed', 'w')")
    config = OmegaConf.load("theirs/config.yaml")
    OmegaConf.update(config, place, planted, merge=False)
    OmegaConf.save(config, "theirs/config.yaml")
    shutil.rmtree("runs", ignore_errors=True)
    ended = dlrun(verb, "run=theirs", *(["trainer.epochs=5"] if verb == "train" else []))
    assert ended.status == 2, ended.out
    assert f"{place}._target_={planted['_target_']}: not run" in ended.err
    assert len(ended.errors) == 1
    assert not Path("executed").exists()
    assert not [file for file in Path("runs").rglob("*") if file.is_file()]


def test_a_reference_in_a_saved_config_is_not_followed(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*QUICK, "trainer.epochs=1", "hydra.run.dir=theirs")
    config = OmegaConf.load("theirs/config.yaml")
    OmegaConf.update(config, "name", "${oc.env:HOME}")
    OmegaConf.save(config, "theirs/config.yaml")
    ended = dlrun("evaluate", "run=theirs")
    assert ended.status == 2
    assert "name=${oc.env:HOME}: a saved config holds no references" in ended.err


def test_what_the_environment_names_is_trusted(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own_linear.py").write_text("from dlrun.model.linear import Linear\nclass Mine(Linear):\n    pass\n")
    assert dlrun("train", *QUICK, "model._target_=own_linear.Mine", "hydra.run.dir=ours").status == 0
    Path("ours").rename("theirs")
    assert dlrun("evaluate", "run=theirs").status == 2
    monkeypatch.setenv("DLRUN_TRUST", "other,own_linear")
    assert dlrun("evaluate", "run=theirs").status == 0


def test_a_run_of_ones_own_code_opens_again_where_it_was_made_and_nowhere_else(
    dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("own_linear.py").write_text("from dlrun.model.linear import Linear\nclass Mine(Linear):\n    pass\n")
    quick = (*QUICK, "trainer.epochs=1")
    assert dlrun("train", *quick, "model._target_=own_linear.Mine", "hydra.run.dir=ours").status == 0
    assert dlrun("evaluate", "run=ours").status == 0
    assert dlrun("train", "run=ours", "trainer.epochs=2").status == 0
    assert dlrun("evaluate", "run=ours", "hydra.run.dir=evaluated").status == 0  # what it says now is known too

    refused = "model._target_=own_linear.Mine: not run"
    shutil.copytree("ours", "copied")  # as one that was sent
    assert refused in dlrun("evaluate", "run=copied").err
    config = Path("ours/config.yaml")
    mine = config.read_text()
    config.write_text(mine.replace("seed: 0", "seed: 1"))
    assert refused in dlrun("evaluate", "run=ours").err
    config.write_text(mine)
    assert dlrun("evaluate", "run=ours", "hydra.run.dir=again").status == 0

    elsewhere = tmp_path / "elsewhere"  # where own_linear would be another module
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert refused in dlrun("evaluate", f"run={tmp_path / 'ours'}").err
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another user"))
    assert refused in dlrun("evaluate", "run=ours").err


def test_only_runs_with_ones_own_code_are_remembered(dlrun: Dlrun) -> None:
    assert dlrun("train", *QUICK, "trainer.epochs=1", "hydra.run.dir=plain").status == 0
    assert not list(Path(os.environ["XDG_STATE_HOME"]).iterdir())


@pytest.mark.parametrize(
    "line",
    [
        "attack attack=pgd attack._target_=os.system",
        "attack --config-dir planted",
        "train 'model={_target_: os.system}'",
        "evaluate +x=${oc.env:HOME}",
    ],
)
def test_what_a_strangers_run_would_start_afterwards_is_read_first(dlrun: Dlrun, train_once: Train, line: str) -> None:
    train_once(*QUICK, "trainer.epochs=1", "hydra.run.dir=theirs")
    config = OmegaConf.load("theirs/config.yaml")
    config.then = {"after": line}
    Path("theirs/config.yaml").write_text(OmegaConf.to_yaml(config))
    ended = dlrun("train", "run=theirs", "trainer.epochs=2")
    assert ended.status == 2
    assert "then.after=" in ended.err
    assert not Path("theirs/after").exists()


def test_the_backbone_of_a_strangers_run_is_refused_too(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*QUICK, "trainer.epochs=1", "hydra.run.dir=theirs")
    config = OmegaConf.load("theirs/config.yaml")
    OmegaConf.update(config, "model", {"_target_": "os.system", "command": "touch executed"}, merge=False)
    OmegaConf.save(config, "theirs/config.yaml")
    ended = dlrun("finetune", "dataset=digits", "model.backbone=theirs")
    assert ended.status == 2
    assert "model._target_=os.system: not run" in ended.err
    assert not Path("executed").exists()
