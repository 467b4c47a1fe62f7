"""What a network has learnt on some classes helps on others: MNIST's 0-4, then 5-9 from few examples.

Source: 003, fine-tuning: a frozen network with a new head. The network is the course's CNN for MNIST, trained on the
digits 0 to 4; its head is replaced and trained on 10 examples each of the digits 5 to 9. It is compared with the same
head on the same network with random weights, and with training the whole network from scratch on the same examples.

    make transfer

or ``python experiments/transfer.py [SEEDS]``; DLRUN_DATA names the folder with MNIST. Cost: about a minute on a CPU.
Expected over 3 seeds, test accuracy on the digits 5 to 9: 0.90 or more, and 0.03 or more above the random backbone.
The exit status is 1 if that is not met.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.table import Table

LEAST, LEAST_GAIN = 0.90, 0.03
FEW = ("dataset=mnist", "dataset.classes=[5,6,7,8,9]", "dataset.per_class=10", "dataset.val_fraction=0")
QUIET = "callback.tensorboard=null"


def accuracy(folder: Path, verb: str, *overrides: str) -> float:
    """Run a verb and return its test accuracy."""
    run = folder / f"{len(list(folder.iterdir()))}"
    command = [sys.executable, "-m", "dlrun", verb, *overrides, QUIET, f"hydra.run.dir={run}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found: float = json.loads((run / "result.json").read_text())["metrics"]["test/accuracy"]
    return found


def main() -> int:
    """Measure and print all; the exit status."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    found: dict[str, list[float]] = {"pretrained on 0-4": [], "random backbone": [], "from scratch": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(seeds):
            trained = folder / f"trained{seed}"
            first = ("model=mnist_cnn", "dataset=mnist", "dataset.classes=[0,1,2,3,4]", "trainer.epochs=2")
            command = [
                sys.executable,
                "-m",
                "dlrun",
                "train",
                *first,
                f"seed={seed}",
                QUIET,
                f"hydra.run.dir={trained}",
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            head = (f"model.backbone={trained}", f"cache={folder}/features", "trainer.epochs=60", f"seed={seed}")
            head = (*head, "optimizer.lr=0.003", "dataset.batch_size=10")
            found["pretrained on 0-4"].append(accuracy(folder, "finetune", *FEW, *head))
            found["random backbone"].append(accuracy(folder, "finetune", *FEW, *head, "weights=null"))
            scratch = (
                "model=mnist_cnn",
                "trainer.epochs=60",
                "dataset.batch_size=10",
                "optimizer=adam",
                f"seed={seed}",
            )
            found["from scratch"].append(accuracy(folder, "train", *FEW, *scratch))
    table = Table("network", "test accuracy on 5-9", "of each seed")
    for what, values in found.items():
        table.add_row(what, f"{mean(values):.4f}", "  ".join(f"{value:.4f}" for value in values))
    Console().print(table)
    best, gain = mean(found["pretrained on 0-4"]), mean(found["pretrained on 0-4"]) - mean(found["random backbone"])
    met = best >= LEAST and gain >= LEAST_GAIN
    print(f"gain over the random backbone {gain:.4f}: {'met' if met else 'NOT MET'}")
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
