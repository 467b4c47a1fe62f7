"""How far honest runs of an experiment stay from its claims: every claim on five seeds, and on 1, 2 and 4 threads.

    python -m benchmarks.margins [NAME ...] [--seeds 0 1 2 3 4] [--threads 1 2 4]

Without a name all embedded experiments are tried; seed 0 runs on every number of threads, the other seeds on the first.
Prints a row for each claim: its bound, the worst and the best value, and the margin: the distance of the worst value
from the bound, as a part of the spread of the values (below 1 a new seed may well break it). The exit status is 1 if a
claim was not met. It takes seven times as long as the experiments themselves.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from dlrun.command.reproduce import is_embedded
from dlrun.experiment import header


def claims(name: str, seed: int, threads: int) -> dict[str, list[dict[str, Any]]]:
    """The judged claims of one run of an experiment, by job."""
    verb = header.read(name).verb
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory() as folder:
        places = [f"hydra.run.dir={folder}/run", f"hydra.sweep.dir={folder}/run"]
        command = [sys.executable, "-m", "dlrun", verb, f"experiment={name}", f"seed={seed}", *places]
        subprocess.run(command, env=environment, capture_output=True, check=False)
        results = {file.parent.name: json.loads(file.read_text()) for file in Path(folder, "run").rglob("result.json")}
    return {job: result.get("expect", []) for job, result in results.items()}


def distance(bounds: dict[str, float | None], value: float) -> float:
    """From a value to the nearer of its bounds; negative beyond it."""
    low, high = bounds.get("min"), bounds.get("max")
    return min(math.inf if low is None else value - low, math.inf if high is None else high - value)


def main() -> int:
    """Try the experiments and print the table; the exit status."""
    parser = argparse.ArgumentParser(description="Margins of the experiments' claims over seeds and threads.")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4])
    asked = parser.parse_args()
    names = asked.names or [name for name in header.names() if is_embedded(header.read(name))]
    runs = [(asked.seeds[0], threads) for threads in asked.threads]
    runs += [(seed, asked.threads[0]) for seed in asked.seeds[1:]]
    unmet = 0
    print("| experiment | job | claim | worst | best | margin | met |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name in names:
        found = defaultdict(list)
        for seed, threads in runs:
            for job, rows in claims(name, seed, threads).items():
                for row in rows:
                    found[job, row["metric"]].append(row)
        for (job, metric), tries in found.items():
            values = [math.nan if row["value"] is None else row["value"] for row in tries]
            distances = [distance(row["bounds"], value) for row, value in zip(tries, values, strict=True)]
            spread = max(values) - min(values)
            margin = f"{min(distances) / spread:.1f}" if spread else "exact"
            met = sum(row["met"] for row in tries)
            unmet += met < len(tries)
            ends = f"{values[distances.index(min(distances))]:.4g} | {values[distances.index(max(distances))]:.4g}"
            claim = f"{metric} {tries[0]['claim']}"
            print(f"| {name} | {job} | {claim} | {ends} | {margin} | {met} of {len(tries)} |", flush=True)
    return int(unmet > 0)


if __name__ == "__main__":
    sys.exit(main())
