"""Fixtures: the command line in this process, and the real data where it is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dlrun import cli
from tests import composing

composing.hasten()

# A training of a third of a second: a linear model on the digits in their own size, without pictures.
QUICK = (
    "model=linear",
    "dataset.image_size=8",
    "trainer.epochs=2",
    "callback.tensorboard=null",
    "callback.curves=null",
)
DRAWING = (*QUICK[:3], "callback.tensorboard.images=0", "callback.tensorboard.graph=false", "callback.curves=null")
"""The same with the picture of its confusion matrix."""


@dataclass
class Ended:
    """How a command line ended."""

    status: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return self.err.splitlines()


Dlrun = Callable[..., Ended]


@pytest.fixture
def dlrun(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Dlrun:
    """Run a command line of dlrun in this process, in an empty working directory, by a user of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["dlrun", *arguments])
        capfd.readouterr()
        try:
            cli.main()
        except SystemExit as end:
            out, err = capfd.readouterr()
            return Ended(int(end.code or 0), out, err)

    return run


Train = Callable[..., Path]
_trained: dict[tuple[bool | str, ...], Path] = {}


@pytest.fixture
def train_once(dlrun: Dlrun, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """A run (or sweep) of these overrides in the working directory; the same ones are trained once, then copied."""

    def run(*overrides: str) -> Path:
        named = [text.partition("=")[2] for text in overrides if re.match(r"hydra\.(run|sweep)\.dir=", text)]
        folder = Path(*named or ["runs"])
        same: tuple[bool | str, ...] = (
            bool(named),
            *(text for text in overrides if not text.startswith("hydra.run.dir=")),
        )
        if same in _trained:
            shutil.copytree(_trained[same], folder)
        else:
            ended = dlrun("train", *overrides)
            assert ended.status == 0, ended.err
            _trained[same] = shutil.copytree(folder, tmp_path_factory.mktemp("trained") / "run")
        return folder if named else only_run(folder / "train")

    return run


@pytest.fixture(scope="session")
def real_data() -> str:
    """The folder with the real MNIST."""
    root = os.environ.get("DLRUN_DATA", "")
    if not (Path(root) / "MNIST" / "raw").is_dir():
        pytest.skip("no real MNIST: DLRUN_DATA names no folder with MNIST/raw")
    return root


def only_run(folder: Path) -> Path:
    """The one run folder below a folder."""
    (config,) = folder.rglob("config.yaml")
    return config.parent


def result(run: Path) -> dict[str, Any]:
    """What a run's ``result.json`` says."""
    found: dict[str, Any] = json.loads((run / "result.json").read_text())
    return found
