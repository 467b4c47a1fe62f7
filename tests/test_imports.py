"""What a training and a prediction import: nothing slow that they have no need of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SLOW = (
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.tensor",
    "sklearn",
    "scipy",
    "torchmetrics",
    "torchvision",
    "triton",
    "pandas",
    "narwhals",
)
"""Each takes from a fifth of a second to a second and a half."""
TRAINING = f"""
import sys
from dlrun import cli

for verb in (["train", "model=linear", "trainer.epochs=1", "hydra.run.dir=run"], ["predict", "run=run", "input=run"]):
    sys.argv = ["dlrun", *verb]
    cli.main()
sys.exit(" ".join(name for name in {SLOW} if name in sys.modules) or 0)
"""


def test_nothing_slow_is_imported_by_a_training_and_a_prediction(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", TRAINING], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "images to train" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    assert {each.name for each in (tmp_path / "run" / "figures").iterdir()} >= {"confusion_matrix.png", "curves.png"}


PROBE = """
import sys
from dlrun.callback.callback import Callback

class Probe(Callback):
    def on_step_end(self, trainer):
        if trainer.cursor.step == 1:
            print("drawn at the first step:", "matplotlib" in sys.modules)
"""


def test_nothing_is_drawn_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    words = ["train", "model=linear", "trainer.epochs=1", "+callback.probe._target_=probe.Probe"]
    done = subprocess.run(
        [sys.executable, "-m", "dlrun", *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "drawn at the first step: False" in done.stdout
