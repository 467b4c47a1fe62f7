"""What a network has learnt on some classes helps on others: MNIST's 0-4, then 5-9 from few examples.

Source: 003, fine-tuning: a frozen network with a new head. The network is the course's CNN for MNIST, trained on the
digits 0 to 4; its head is replaced and trained on 10 examples each of the digits 5 to 9. It is compared with the same
head on the same network with random weights, and with training the whole network from scratch on the same examples.

    make transfer

or ``python experiments/transfer.py [SEEDS]``; DLRUN_DATA names the folder with MNIST. Cost: a minute for each seed on a
CPU. Expected, as the mean over the seeds, test accuracy on the digits 5 to 9: 0.83 or more, and 0.05 or more above the
random backbone (seed 0 gives 0.88 against 0.77, and training from scratch 0.89). The exit status is 1 if that is not
met.
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

LEAST, LEAST_GAIN = 0.83, 0.05
MANY = ("dataset=mnist", "dataset.classes=[0,1,2,3,4]")
FEW = ("dataset=mnist", "dataset.classes=[5,6,7,8,9]", "dataset.per_class=10", "dataset.val_fraction=0")


def run(folder: Path, verb: str, *overrides: str) -> float:
    """Run a verb into a folder; its test accuracy."""
    command = [sys.executable, "-m", "dlrun", verb, *overrides, "callback.tensorboard=null", f"hydra.run.dir={folder}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found: float = json.loads((folder / "result.json").read_text())["metrics"]["test/accuracy"]
    return found


def compare(folder: Path, seed: int) -> dict[str, float]:
    """The accuracies of one seed."""
    common = (f"seed={seed}", "trainer.epochs=60", "dataset.batch_size=10", *FEW)
    trained = folder / f"trained{seed}"
    run(trained, "train", "model=mnist_cnn", "trainer.epochs=2", f"seed={seed}", *MANY)
    head = (*common, f"model.backbone={trained}", f"cache={folder}/features", "optimizer.lr=0.003")
    return {
        "pretrained on 0-4": run(folder / f"pretrained{seed}", "finetune", *head),
        "random backbone": run(folder / f"random{seed}", "finetune", *head, "weights=null"),
        "from scratch": run(folder / f"scratch{seed}", "train", *common, "model=mnist_cnn", "optimizer=adam"),
    }


def main() -> int:
    """Measure and print all; the exit status."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as folder:
        found = [compare(Path(folder), seed) for seed in range(seeds)]
    table = Table("network", "test accuracy on 5-9", "of each seed")
    means = {what: mean(one[what] for one in found) for what in found[0]}
    for what, value in means.items():
        table.add_row(what, f"{value:.4f}", "  ".join(f"{one[what]:.4f}" for one in found))
    Console().print(table)
    gain = means["pretrained on 0-4"] - means["random backbone"]
    met = means["pretrained on 0-4"] >= LEAST and gain >= LEAST_GAIN
    print(f"gain over the random backbone {gain:.4f}: {'met' if met else 'NOT MET'}")
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
