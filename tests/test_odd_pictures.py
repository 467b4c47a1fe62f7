"""Verbs on a corpus of odd pictures (:mod:`tests.odd_pictures`): what can be read is used, what cannot is named."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest

from dlrun.dataset.folder_tree import image_files
from tests import odd_pictures
from tests.conftest import QUICK, Dlrun, only_run, result

FOLDER = ("dataset.root=odd", "dataset.on_error=skip", "callback.tensorboard=null")
CLASSES = ["caf\\xe9", "zèbre 斑马"]


@pytest.fixture
def odd(tmp_path: Path) -> tuple[int, int]:
    """How many images of the corpus in the folder ``odd`` are right, and how many are wrong."""
    odd_pictures.write(tmp_path / "odd")
    files = image_files(tmp_path / "odd")
    assert sum(path.stat().st_size for path in files if not path.is_symlink()) < 1e6
    right = sum(path.name.lower().startswith("ok") for path in files)
    wrong = sum(path.name.startswith("bad") for path in files)
    assert right + wrong == len(files)
    assert right > 70 < 3 * wrong
    return right, wrong


def test_predict_train_and_finetune_on_odd_pictures(dlrun: Dlrun, odd: tuple[int, int]) -> None:
    right, wrong = odd
    started = time.process_time()
    trained = dlrun("train", "dataset=image_folder", *QUICK, *FOLDER, "hydra.run.dir=run")
    predicted = dlrun("predict", "run=run", "input=odd")
    network = ("model.backbone=shufflenet_v2_x0_5", "weights=null", "dataset.image_size=32", "trainer.epochs=2")
    tuned = dlrun("finetune", *network, *FOLDER, "dataset.workers=2")
    assert time.process_time() - started < 30
    for ended in (trained, predicted, tuned):
        assert ended.status == 0, ended.err
        assert "Traceback" not in ended.out + ended.err
    for ended in (trained, tuned):
        assert f"warning: dataset.root: {wrong} of {right + wrong} files left out: odd/caf\\xe9/bad-" in ended.out
    with (only_run(Path("runs/predict")) / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * right
    assert {row["class"] for row in rows} == set(CLASSES)
    assert any(row["file"] == "odd/zèbre 斑马/ok-\\xff\\xfe.png" for row in rows)
    assert result(only_run(Path("runs/predict")))["unreadable"] == wrong
    for run in (Path("run"), only_run(Path("runs/finetune"))):
        assert result(run)["classes"] == CLASSES
