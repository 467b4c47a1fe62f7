"""What a sweep gains from several jobs at once on one machine: LeNet on the embedded digits, and on MNIST.

Each subject is a command of its own: the same sweep of four seeds one job after the other, each with all cores, and by
joblib with as many jobs at once as there are cores (``--jobs``), each on its part of them. The claim: of a sweep that
takes minutes, several jobs at once take at most 0.9 of the time. The line at the end of a slow sweep rests on it
(``dlrun/run/advice.py``); a short sweep has nothing to gain, as each process imports torch for itself.

    python -m benchmarks.sweep_parallel [--jobs 2] [--epochs N] [--batches 150] [--repeats 3] [digits] [mnist]

The subjects take turns; times are medians over the repeats. The seconds of the processor are of all processes together.
MNIST is looked for in ``$DLRUN_DATA`` or ``data``. The exit status is 1 if the claim is not met. The machine must be
idle: on one that is shared two processes get more of it than one.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median

from joblib import cpu_count
from rich.console import Console
from rich.table import Table

CLAIM = 0.9
EPOCHS = {"digits": 60, "mnist": 12}
"""Of each training, so that a sweep takes more than a minute."""
WARMUP = 1
"""Sweeps before those that count: the first one reads everything from disk."""


def sweep(dataset: str, options: argparse.Namespace, launcher: list[str]) -> tuple[float, float]:
    """The seconds of a sweep, and those of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *[sys.executable, "-m", "dlrun", "train", "-m", "seed=0,1,2,3", "model=lenet", f"dataset={dataset}"],
            *[f"trainer.epochs={options.epochs or EPOCHS[dataset]}", f"trainer.limit_batches={options.batches}"],
            *["callback.tensorboard=null", "callback.curves=null", f"hydra.sweep.dir={folder}", *launcher],
        ]
        # The threads are to be divided by dlrun:
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if ended.returncode:
            raise SystemExit(ended.stdout + ended.stderr)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compared(dataset: str, options: argparse.Namespace) -> bool:
    """Measure and print a dataset; whether the claim is met."""
    jobs = options.jobs
    joblib = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={jobs}"]
    subjects: dict[str, list[str]] = {"one after the other": [], f"{jobs} at once": joblib}
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in subjects}
    for repeat in range(WARMUP + options.repeats):
        for name, launcher in subjects.items():
            found = sweep(dataset, options, launcher)
            if repeat >= WARMUP:
                samples[name].append(found)
    table = Table("jobs", "seconds", "of the processor", title=f"four trainings of LeNet on {dataset}")
    times: list[float] = []
    for name, values in samples.items():
        seconds, work = (median(column) for column in zip(*values, strict=True))
        table.add_row(name, f"{seconds:.1f}", f"{work:.1f}")
        times.append(seconds)
    Console().print(table)
    ratio = times[1] / times[0]
    print(f"{dataset}: {ratio:.2f} of the time, claim <= {CLAIM}: {'met' if ratio <= CLAIM else 'NOT MET'}")
    return ratio <= CLAIM


def main() -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(description="Several jobs of a sweep at once against one after the other.")
    parser.add_argument("datasets", nargs="*", default=[*EPOCHS])
    parser.add_argument("--jobs", type=int, default=cpu_count())
    parser.add_argument("--epochs", type=int, help="of each training")
    parser.add_argument("--batches", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    outcomes = [compared(dataset, options) for dataset in options.datasets]
    return int(not all(outcomes))


if __name__ == "__main__":
    sys.exit(main())
