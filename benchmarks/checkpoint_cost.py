"""What checkpoints cost: LeNet on MNIST with all defaults.

The claim: writing checkpoints (after every epoch and every minute) takes at most 2% of the time of a training. It is
taken within one run, around every save of the trainer, since two runs differ by more than that.

    python -m benchmarks.checkpoint_cost [--epochs 3]

MNIST is looked for in ``$DLRUN_DATA`` or ``data``. The exit status is 1 if the claim is not met.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from typing import Any

from dlrun import cli
from dlrun.training.trainer import Trainer

CLAIM = 0.02


def timed(name: str, spent: dict[str, float]) -> None:
    """Put a clock around a method of the trainer."""
    method = getattr(Trainer, name)

    def call(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return method(*arguments, **named)
        finally:
            spent[name] += time.perf_counter() - start

    setattr(Trainer, name, call)


def main() -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(description="What checkpoints cost.")
    parser.add_argument("--epochs", type=int, default=3)
    epochs = parser.parse_args().epochs
    spent = {"save": 0.0, "fit": 0.0}
    for name in spent:
        timed(name, spent)
    with tempfile.TemporaryDirectory() as folder:
        options = ["model=lenet", "dataset=mnist", f"trainer.epochs={epochs}", f"hydra.run.dir={folder}"]
        cli.run_verb("train", options)
    share = spent["save"] / spent["fit"]
    outcome = "met" if share <= CLAIM else "NOT MET"
    print(
        f"{spent['save']:.2f} s of {spent['fit']:.1f} s in checkpoints: {share:.2%} (claim <= {CLAIM:.0%}: {outcome})"
    )
    return int(share > CLAIM)


if __name__ == "__main__":
    sys.exit(main())
