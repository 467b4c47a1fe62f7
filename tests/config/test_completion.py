"""Words that a shell completes: in bash itself, in zsh and fish where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dlrun import paths
from dlrun.config import completion

BASH = """
eval "$(dlrun completion bash)"
complete -p dlrun
ask() {
    COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=() COMP_CWORD=0 COMPREPLY=()
    _dlrun
    printf '%s|' "${COMPREPLY[@]}"
    echo
}
ask 'dlrun tra'
ask 'dlrun train mod'
ask 'dlrun train model=le'
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
ask 'dlrun train model=le'
ask 'dlrun predict input=pho'
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with ``dlrun``."""
    program = tmp_path / "bin" / "dlrun"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m dlrun "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(paths.__file__).parent.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_bash_completes_verbs_keys_and_choices(shell: Path) -> None:
    done = subprocess.run(["bash", "-c", BASH], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "complete -o default -o nospace -F _dlrun dlrun",
        "train |",
        "model.|model=|",
        "lenet |",  # bash replaces what stands behind the =
        "model=lenet |",
        "|",  # bash's own completion of files
    ]


def test_zsh_completes_verbs_choices_and_files_as_they_are_typed(shell: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    pexpect = pytest.importorskip("pexpect")
    Path("photo.jpg").touch()
    zsh = pexpect.spawn("zsh -f -i", encoding="utf-8", timeout=60, dimensions=(24, 200))
    zsh.sendline("""eval "$(dlrun completion zsh)"; echo rea''dy""")
    zsh.expect("ready\r\n")
    for typed, missing in (("tra", "in "), ("train model=le", "net "), ("predict input=pho", "to.jpg")):
        zsh.send(f"dlrun {typed}\t")
        zsh.expect_exact(typed)
        zsh.expect_exact(missing)
        zsh.send("\x15")  # Ctrl-U: the line is empty again
    zsh.sendline("exit")
    zsh.expect(pexpect.EOF)


def test_fish_completes_choices_and_files(shell: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    Path("photo.jpg").touch()
    ask = "dlrun completion fish | source; complete -C 'dlrun train model=le'; complete -C 'dlrun predict input=p'"
    done = subprocess.run(["fish", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["model=lenet", "input=photo.jpg"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dlrun e", ["evaluate ", "explain ", "export "]),
        ("dlrun train optimizer=adamw optimizer.be", ["optimizer.betas="]),
        ("dlrun train optimizer._", []),
        ("dlrun train optimizer=sgd optimizer.be", []),
        ("dlrun train optimizer.lr=", ["optimizer.lr=0.05 "]),
        ("dlrun train trainer.e", ["trainer.ema=", "trainer.epochs="]),
        ("dlrun train dataset.aug", ["dataset.augment."]),
        ("dlrun train optim", ["optimizer.", "optimizer="]),
        ("dlrun train hydra.sweep.d", ["hydra.sweep.dir="]),
        ("dlrun train explainer", []),  # a group of another verb
        ("dlrun explain explainer=grad_cam", ["explainer=grad_cam ", "explainer=grad_cam_plus_plus "]),
        ("dlrun train dataset=_", []),
        ("dlrun train --config-dir conf model=min", ["model=mine "]),
        ("dlrun train --mul", ["--multirun "]),
        ("dlrun train --help tr", ["trainer "]),
        ("dlrun evaluate run=", ["run=last ", "run=runs/train/a/1 "]),
        ("dlrun reproduce xor_", ["xor_perceptron "]),
        ("dlrun train nothing=", []),
        ("dlrun nothing ", []),
        ("dlrun completion z", ["zsh "]),
    ],
)
def test_the_words_that_a_line_can_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conf/model").mkdir(parents=True)
    Path("conf/model/mine.yaml").write_text("_target_: mine.Tiny\n")
    Path("runs/train/a/1/checkpoints").mkdir(parents=True)
    Path("runs/train/a/1/checkpoints/last.pt").touch()
    assert completion.words(line) == words
