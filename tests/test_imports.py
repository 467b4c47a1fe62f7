"""What a training imports before its first step: nothing slow that it has no need of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SLOW = (
    "torch._dynamo",
    "torch._inductor",
    "sklearn",
    "scipy",
    "torchmetrics",
    "torchvision",
    "triton",
    "pandas",
    "narwhals",
)
"""Each takes from a fifth of a second to a second and a half."""
FIRST_STEP = f"""
import sys
from dlrun import cli
from dlrun.training.step import Step

def stop(*_, **__):
    sys.exit(" ".join(name for name in {SLOW} if name in sys.modules) or 0)

Step.__call__ = stop
sys.argv = ["dlrun", "train", "callback.tensorboard.graph=false", "hydra.run.dir=run"]
cli.main()
"""


def test_nothing_slow_is_imported_before_the_first_step(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_STEP], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "images to train" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")
