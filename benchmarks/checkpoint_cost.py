"""What checkpoints cost: LeNet on MNIST with all defaults.

The claim: writing checkpoints (after every epoch and every minute) takes at most 2% of the time of a training. It is
taken within one run, around every call of the callback, since two runs differ by more than that.

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
from dlrun.callback.checkpoint import Checkpoint

CLAIM = 0.02
spent = {"checkpoints": 0.0, "training": 0.0}


class Timed(Checkpoint):
    """The callback, with a clock around each of its hooks."""

    def on_fit_start(self, trainer: Any) -> None:
        """Start the clock of the training."""
        spent["training"] -= time.perf_counter()

    def on_step_end(self, trainer: Any) -> None:
        """Time it."""
        start = time.perf_counter()
        super().on_step_end(trainer)
        spent["checkpoints"] += time.perf_counter() - start

    def on_epoch_end(self, trainer: Any, metrics: dict[str, float], improved: bool) -> None:
        """Time it."""
        start = time.perf_counter()
        super().on_epoch_end(trainer, metrics, improved)
        spent["checkpoints"] += time.perf_counter() - start

    def on_fit_end(self, trainer: Any) -> None:
        """Stop the clock of the training."""
        spent["training"] += time.perf_counter()


def main() -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(description="What checkpoints cost.")
    parser.add_argument("--epochs", type=int, default=3)
    epochs = parser.parse_args().epochs
    target = "callback.checkpoint._target_=benchmarks.checkpoint_cost.Timed"
    with tempfile.TemporaryDirectory() as folder:
        options = ["model=lenet", "dataset=mnist", f"trainer.epochs={epochs}", target, f"hydra.run.dir={folder}"]
        cli.run_verb("train", options)
    from benchmarks import checkpoint_cost  # where Hydra found the callback, which is not __main__

    checkpoints, training = checkpoint_cost.spent["checkpoints"], checkpoint_cost.spent["training"]
    share = checkpoints / training
    outcome = "met" if share <= CLAIM else "NOT MET"
    print(f"{checkpoints:.2f} s of {training:.1f} s in checkpoints: {share:.2%} (claim <= {CLAIM:.0%}: {outcome})")
    return int(share > CLAIM)


if __name__ == "__main__":
    sys.exit(main())
