"""Write ``docs/first_minutes.md``: README's first command and a stranger's next wishes on a terminal, with their times.

python -m tests.timeline
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tests.screens import on_terminal

FILE = Path(__file__).parents[1] / "docs" / "first_minutes.md"
PHOTOS, SIDE = 80, 32
"""Photos of each class, and their pixels."""
WISHES = (
    ("the first training", "train", "runs/train/lenet-digits/*/figures/curves.png"),
    ("my own photos", "train photos model=cnn", "runs/train/cnn-image_folder/*/figures/curves.png"),
    ("another learning rate", "train photos model=cnn optimizer.lr=0.01", "runs/train/cnn-image_folder/*/result.json"),
    ("where does it look?", "explain run=last", "runs/explain/*/*/contact_sheet.png"),
    ("a picture to send", "predict run=last input=photos/upright", "runs/predict/*/*/predictions.png"),
)
"""What is wished for, the command, and the file that is there then."""


def photos(root: Path) -> None:
    """Noisy stripes, upright and lying, a folder for each."""
    generator = np.random.default_rng(0)
    for name, axis in (("upright", 1), ("lying", 0)):
        (root / name).mkdir(parents=True)
        for number in range(PHOTOS):
            waves = np.sin(np.indices((SIDE, SIDE))[axis] * 0.6 + generator.uniform(0, 6))
            pixels = waves[..., None] * 60 + 128 + generator.normal(0, 30, (SIDE, SIDE, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{number}.jpg")


def main() -> None:
    """Type the commands one after another in an empty folder, and write the table."""
    rows = ["| at | wish | command | first sign | done | of it CPU |", "|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        folder, began = Path(name), time.monotonic()
        photos(folder / "photos")
        for wish, command, made in WISHES:
            at, typed = time.monotonic() - began, on_terminal(command, folder, 80, 24)
            if not [*folder.glob(made)]:
                raise SystemExit(f"dlrun {command}: no {made}\n{typed.shown}")
            times = f"{typed.first:.1f} s | {typed.seconds:.1f} s | {typed.cpu:.1f} s"
            rows.append(f"| {at:.0f} s | {wish} | `dlrun {command}` | {times} |")
            print(rows[-1], flush=True)
        rows.append(f"| {time.monotonic() - began:.0f} s | | | | | |")
    text = (
        "# The first minutes",
        f"Made by `python -m tests.timeline`: the commands are typed on a terminal of 80x24, one after another, on"
        f" {os.cpu_count()} CPU cores. *First sign* is the time until something is on the screen. On a machine that"
        " does other things too, a command takes longer than its CPU time.",
        "\n".join(rows),
        "The curves of a training are there with it: `figures/curves.png` in its folder.",
    )
    FILE.write_text("\n\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
