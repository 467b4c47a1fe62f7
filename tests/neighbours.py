"""Start two of each writer at the same moment in one place: one works, the other waits or is refused in one line.

    python -m tests.neighbours [run|sweep|search|cache ...]

What is left must be what one alone leaves. One process imports everything once and forks two children for each writer.
Prints a line for each; exits with 1 if anything was lost or said otherwise.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.conftest import QUICK
from tests.disk_table import ended, prepare
from tests.test_disks import FINETUNE, left

SEARCH = ("train", "-m", "hydra/sweeper=optuna", "hydra.sweeper.trials=3", "optimizer.lr=interval(0.01,0.1)", *QUICK)
WRITERS: dict[str, tuple[str, ...]] = {
    "run": ("train", *QUICK, "hydra.run.dir=FOLDER"),
    "sweep": ("train", "-m", *QUICK, "seed=0,1", "hydra.sweep.dir=FOLDER"),
    "search": (*SEARCH, "hydra.sweep.dir=FOLDER"),
    "cache": ("finetune", *FINETUNE, "hydra.run.dir=FOLDER/NUMBER"),  # two runs, with one cache of features
}
REFUSED = re.compile(r"dlrun: hydra\.(run|sweep)\.dir=\S+: another process is at work in this folder\n")


def together(commands: list[list[str]]) -> list[tuple[int, str]]:
    """Run command lines at the same moment, each in a child; for each its exit status, and what it said."""
    reading, writing = os.pipe()
    children = []
    for number, command in enumerate(commands):
        child = os.fork()
        if child == 0:
            os.close(writing)
            output = os.open(f"said{number}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.read(reading, 1)  # ends when all are there
            os._exit(ended(command))
        children.append(child)
    os.close(reading)
    os.close(writing)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return [(status, Path(f"said{number}.txt").read_text()) for number, status in enumerate(statuses)]


def found_in(folder: Path) -> dict[str, Any]:
    """What a command left, without the study's times."""
    return {name: value for name, value in left(folder).items() if not name.startswith("optuna.log")}


def trial(name: str) -> list[str]:
    """What was wrong with two of a writer at once."""
    words = [[word.replace("NUMBER", number) for word in WRITERS[name]] for number in ("a", "b")]
    alone, both = (Path(f"{name}{word}") for word in ("1", "2"))
    for command in words if name == "cache" else words[:1]:
        ((status, said),) = together([[word.replace("FOLDER", str(alone)) for word in command]])
        assert status == 0, said
    outcomes = together([[word.replace("FOLDER", str(both)) for word in command] for command in words])
    wrong = [said for status, said in outcomes if status and not (status == 2 and REFUSED.fullmatch(said))]
    statuses = sorted(status for status, _ in outcomes)
    whole, found = found_in(alone), found_in(both)
    names = sorted(each for each in whole.keys() | found.keys() if whole.get(each) != found.get(each))
    wrong += [f"{name}: differs: {', '.join(names)}"] * bool(names) + [f"{name}: {statuses}"] * (statuses[0] != 0)
    if name == "cache" and sum("computing features" in said for _, said in outcomes) != 1:
        wrong.append(f"{name}: features were not computed once")
    print(f"{name}: status {statuses}; {len(wrong) or 'nothing'} wrong", flush=True)
    return wrong


def main() -> int:
    """Try the writers; the exit status."""
    names = [name for name in sys.argv[1:] if name in WRITERS] or list(WRITERS)
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["XDG_STATE_HOME"] = f"{folder}/state"
        prepare()
        for name in names:
            if name != "search" or find_spec("optuna"):
                wrong += trial(name)
        os.chdir("/")
    print("\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
