"""Every kind of training, left alone and killed three times at random moments: is the end the same to the bit?

    python -m tests.resume_table [NAME ...] [KEY=VALUE ...]

Prints a row for each, and exits with 1 if one differs. The names are those of CASES and of the experiments; without
any, all that need no data from outside are tried, and with DLRUN_DATA set those on MNIST too: three epochs of 40
batches, and what follows them on 100 images. The overrides go to every training; on a GPU the bits are the same only
with ``trainer.deterministic=true``.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

import dlrun.command.finetune  # noqa: F401  # so that the children of a fork need not import it
from dlrun.command.reproduce import is_embedded
from dlrun.config.saved import quoted
from dlrun.experiment import header
from dlrun.training.trainer import Trainer
from tests.torture import attempt, points

SMALL = "model=cnn model.widths=[8,8] model.dropout=0.3 dataset.image_size=12 callback.tensorboard.graph=false"
AUGMENT = "dataset.augment={crop: 1, flip: 0.5, rotate: 5, mixup: 0.4}"
TUNE = "finetune model.backbone=weights-run dataset=digits cache=cache trainer.epochs=6 trainer.precision=fp32"
CASES: dict[str, list[str]] = {
    "streaming": [*f"train {SMALL} dataset.memory_budget=0 dataset.workers=2 trainer.epochs=4".split(), AUGMENT],
    "ema, mixup, replicas, one-cycle, patience": [
        *f"train {SMALL} trainer.ema=0.99 trainer.replicas=3 scheduler=one_cycle trainer.patience=4".split(),
        "trainer.epochs=12",
        AUGMENT,
    ],
    "adversarial with warm-up": f"train {SMALL} task=adversarial attack=pgd attack.steps=3 task.warmup_epochs=2"
    " trainer.epochs=4".split(),
    "certified": [
        "train",
        "model=robust_cnn",
        "dataset.image_size=12",
        "task=certified",
        "task.clean_epochs=1",
        "task.warmup_epochs=2",
        "trainer.epochs=4",
    ],
    "finetune, views kept": [*TUNE.split(), "views=8", "dataset.augment.flip=0.5"],
    "finetune, no views": [*TUNE.split(), "views=0", "dataset.augment.flip=0.5"],
    "finetune, unfrozen": [*TUNE.split(), "unfreeze.epoch=3", "trainer.patience=2"],
    "then": [*f"train {SMALL} trainer.epochs=3".split(), 'then={fgsm: "attack attack=fgsm check=0", again: evaluate}'],
    "extended twice": f"train {SMALL} trainer.epochs=2".split(),
    "compiled": f"train {SMALL} trainer.compile=true trainer.epochs=6".split(),
    "bf16": f"train {SMALL} trainer.precision=bf16 trainer.epochs=6".split(),
    "saved every 7 steps": [
        "train",
        "experiment=optimizers",
        "hydra.mode=RUN",
        "trainer.epochs=6",
        "callback.checkpoint.every_steps=7",
    ],
    "saved every 23 steps": [
        "train",
        "experiment=batch_sizes",
        "hydra.mode=RUN",
        "dataset.batch_size=8",
        "trainer.epochs=4",
        "callback.checkpoint.every_steps=23",
        "~expect",
    ],
    "saved every 50 steps": ["train", "experiment=perceptron", "callback.checkpoint.every_steps=50"],
    "initialised": ["train", "experiment=init", "hydra.mode=RUN", "init=he", "~expect"],
}
QUICK = ("initialised", "finetune, unfrozen", "then")
"""What the gate tries."""
KILLS = 3
MORE = [argument for argument in sys.argv[1:] if "=" in argument]
"""Overrides for every training."""
PROGRESS = multiprocessing.RawValue("L", 0)
"""Hooks that the training of a child has called: without a lock, which a killed child would keep."""


@dataclass
class Row:
    """What became of a case."""

    name: str
    kills: int
    met: int
    """Kills that found the run at work."""
    seconds: float
    different: list[str]


def commands(name: str, folder: str) -> list[list[str]]:
    """The command lines of a case, one after the other in a folder."""
    if name == "extended twice":
        first = [*CASES[name], *MORE, f"hydra.run.dir={folder}"]
        return [first, *(["train", f"run={folder}", f"trainer.epochs={epochs}"] for epochs in (4, 6))]
    if name in CASES:
        return [[*CASES[name], *MORE, f"hydra.run.dir={folder}"]]
    text = (header.folder() / f"{name}.yaml").read_text()
    more = ["hydra.mode=RUN", "~expect"] if "MULTIRUN" in text else []
    for values in re.findall(r"^      ([\w.]+): (\S+)", text, re.M) if more else ():
        more.append(f"{values[0]}={values[1].split(',')[0]}")
    if not is_embedded(header.read(name)):
        length = "trainer.steps=120" if re.search(r"^  steps: ", text, re.M) else "trainer.epochs=3"
        more += ["trainer.limit_batches=40", length, *(["~expect"] if "~expect" not in more else [])]
        more += [f"then.{key}={quoted(f'{line} {shorter(line)}')}" for key, line in follow_ups(name).items()]
    return [[header.read(name).verb, f"experiment={name}", *more, *MORE, f"hydra.run.dir={folder}"]]


def follow_ups(name: str) -> dict[str, str]:
    """The verbs that an experiment runs afterwards, as command lines by name."""
    then = OmegaConf.select(OmegaConf.load(header.folder() / f"{name}.yaml"), "then", default={})
    lines = OmegaConf.to_container(then, resolve=False) if then else {}
    assert isinstance(lines, dict)
    return {str(key): str(line) for key, line in lines.items()}


def shorter(line: str) -> str:
    """What makes a follow-up short."""
    verb = line.split()[0]
    if verb in ("train", "finetune"):
        length = "trainer.steps=40" if "trainer.steps=" in line else "trainer.epochs=1"
        return " ".join(["trainer.limit_batches=40", length, *MORE])
    return "limit=100" if verb in ("attack", "certify", "evaluate", "explain") and "limit=" not in line else ""


def outcome(run: Path) -> dict[str, Any]:
    """All that two runs must have in common."""
    found: dict[str, Any] = {}
    for file in sorted(run.rglob("*")):
        name = str(file.relative_to(run))
        if file.suffix in (".csv", ".png"):
            found[name] = (
                re.sub(rb"\d+\.\d+(?=\r?\n)", b"", file.read_bytes())
                if name.endswith("/curve.csv")
                else (file.read_bytes())
            )
        if file.name in ("last.pt", "best.pt"):
            weights = torch.load(file, weights_only=True)["model"]
            found |= {f"{name} {key}": value.numpy().tobytes() for key, value in weights.items()}
        if file.name == "result.json":
            result = json.loads(file.read_text())
            found[name] = {key: result.get(key) for key in ("status", "metrics", "best_epoch", "epochs", "steps")}
    found |= points(run)
    return found


def kill_and_compare(name: str, folder: Path, rng: random.Random) -> Row:
    """Run a case alone, and killed; the row of the table."""
    output = folder / "output.txt"
    torch.manual_seed(0)
    if "finetune" in name or name.startswith("finetune"):
        whole_run = f"train {SMALL} trainer.epochs=1 hydra.run.dir=weights-run".split()
        assert attempt(whole_run, folder, None, signal.SIGKILL) == 0, output.read_text()[-2000:]
    started = time.perf_counter()
    spent = []
    for command in commands(name, "whole"):
        PROGRESS.value = 0
        assert attempt(command, folder, None, signal.SIGKILL) == 0, output.read_text()[-2000:]
        spent.append(PROGRESS.value)
    met = 0
    for command, hooks in zip(commands(name, "killed"), spent, strict=True):
        kills = 0
        while True:
            PROGRESS.value = 0
            moment = reached(rng.uniform(0, hooks / KILLS), rng.uniform(0, 0.01)) if kills < KILLS else None
            if name == "then" and kills == KILLS - 1:
                moment = (folder / "killed" / "again" / "log.txt").exists
            status = attempt(command, folder, moment, signal.SIGKILL)
            kills += 1
            met += status == -signal.SIGKILL
            if status == 0:
                break
            assert status == -signal.SIGKILL, output.read_text()[-2000:]
    whole, killed = outcome(folder / "whole"), outcome(folder / "killed")
    different = sorted(key for key in whole.keys() | killed.keys() if whole.get(key) != killed.get(key))
    return Row(name, KILLS * len(spent), met, time.perf_counter() - started, different)


def count_hooks() -> None:
    """Let every training of this process, and of its children, count its hooks in PROGRESS."""
    emit = Trainer._emit

    def counted(self: Trainer, *hook: Any) -> None:
        PROGRESS.value += 1
        emit(self, *hook)

    Trainer._emit = counted  # type: ignore[method-assign, assignment]


def reached(hooks: float, delay: float) -> Callable[[], bool]:
    """What becomes true so many seconds after so many hooks."""
    due: list[float] = []

    def is_time() -> bool:
        if PROGRESS.value > hooks and not due:
            due.append(time.monotonic() + delay)
        return bool(due) and time.monotonic() >= due[0]

    return is_time


def main() -> int:
    """Try the cases named on the command line; the exit status."""
    known = [found for found in map(header.read, header.names()) if header.ONLY_BY_NAME not in found.header]
    trainings = [found.name for found in known if found.verb in ("train", "finetune")]
    has_data = bool(os.environ.get("DLRUN_DATA"))
    if not has_data:
        trainings = [name for name in trainings if is_embedded(header.read(name))]
    chosen = [name for name in sys.argv[1:] if name not in MORE] or [*CASES, *trainings]
    count_hooks()
    failed = 0
    print("| training | kills that met it at work | seconds | end |\n| --- | --- | --- | --- |", flush=True)
    for number, name in enumerate(chosen):
        with tempfile.TemporaryDirectory() as folder:
            row = kill_and_compare(name, Path(folder), random.Random(number))
        end = f"differs: {', '.join(row.different[:6])}" if row.different else "identical"
        failed += bool(row.different)
        print(f"| {row.name} | {row.met} of {row.kills} | {row.seconds:.0f} | {end} |", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
