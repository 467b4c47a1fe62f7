"""dlrun from Python: the same runs as the command line's, as objects."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dlrun as python
from dlrun.api import call
from dlrun.api.run import Run
from dlrun.record import csv_file
from tests.conftest import QUICK, Dlrun
from tests.conftest import result as result_of

SIDE = 8


def test_the_import_is_quick_and_names_what_there_is() -> None:
    code = "import sys, dlrun; print('torch' in sys.modules, 'omegaconf' in sys.modules, dir(dlrun))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("False False")
    assert all(f"'{name}'" in said for name in ("train", "open", "sweep", "UserError"))
    for name in python.__all__:
        assert getattr(python, name)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        python.trian  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"optimizer.lr": 0.1, "dataset": "mnist"}, ["optimizer.lr=0.1", "dataset=mnist"]),
        ({"weights": None, "trust": ["mine"], "a": True}, ["weights=null", "trust=[mine]", "a=True"]),
        ({"input": "my photo's.jpg"}, [r"input='my photo\'s.jpg'"]),
        ({"then": {"pgd": "attack attack=pgd"}}, ["then={pgd:'attack attack=pgd'}"]),
    ],
)
def test_values_of_python_in_the_grammar_of_the_command_line(keys: dict[str, object], words: list[str]) -> None:
    assert call.line((), keys) == words


def test_a_sweep_takes_each_value_of_a_list() -> None:
    keys = {"optimizer.lr": [0.1, 0.01], "seed": range(2), "model.hidden": [[64, 32]], "dataset": "digits"}
    words = ["optimizer.lr=0.1,0.01", "seed=0,1", "model.hidden=[64,32]", "dataset=digits"]
    assert call.line((), keys, sweeping=True) == words


def test_a_training_and_its_model(dlrun: Dlrun, tmp_path: Path) -> None:
    run = python.train(*QUICK, **{"trainer.epochs": 2, "optimizer.lr": 0.02})
    assert dlrun("train", *QUICK, "optimizer.lr=0.02", "hydra.run.dir=typed").status == 0
    assert run.metrics == result_of(Path("typed"))["metrics"]
    assert run.status == "completed"
    assert isinstance(python.open("typed"), Run)

    with (run.folder / "metrics.csv").open() as stream:
        losses = [float(row["val/loss"]) for row in csv.DictReader(stream)]
    assert [row["val/loss"] for row in csv_file.rows(run.folder / "metrics.csv")] == losses
    assert list(run.history["val/loss"]) == losses

    # By hand: the normalisation, the one layer, the softmax.
    images = torch.rand(5, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    state = torch.load(run.folder / "checkpoints" / "best.pt", weights_only=True)["model"]
    dataset = run.config.dataset
    flat = ((images - dataset.mean[0]) / dataset.std[0]).flatten(1)
    weight, bias = (state[next(name for name in state if name.endswith(end))] for end in ("weight", "bias"))
    wanted = (flat @ weight.T + bias).softmax(dim=1)
    found = run.predict(images)
    torch.testing.assert_close(found.probabilities, wanted)
    torch.testing.assert_close(run.model(images).softmax(dim=1), wanted)
    assert found.labels == [run.classes[place] for place in wanted.argmax(dim=1).tolist()]
    label, probability = found.top(2)[0][0]
    assert (label, probability) == (found.labels[0], float(found.probabilities[0].max()))

    # One picture in every shape that it comes in.
    picture = Image.fromarray((images[0, 0] * 255).round().byte().numpy())
    picture.save(tmp_path / "one.png")
    pixels = np.asarray(picture)
    several = run.predict([picture, pixels, torch.from_numpy(pixels.copy()).unsqueeze(0), tmp_path / "one.png"])
    assert len(several) == 4
    for row in several.probabilities:
        torch.testing.assert_close(row, several.probabilities[0])
    with pytest.raises(python.UserError, match=r"images: values outside \[0,1\]"):
        run.predict(torch.full((1, SIDE, SIDE), 3.0))
    with pytest.raises(python.UserError, match="images: int; expected"):
        run.predict(3)  # type: ignore[arg-type]

    # A verb on the run is that of the command line.
    attacked = run.attack("attack=fgsm", limit=20, **{"attack.eps": 0.1})
    assert dlrun("attack", "run=typed", "attack=fgsm", "limit=20", "attack.eps=0.1", "hydra.run.dir=b").status == 0
    assert attacked.metrics == result_of(Path("b"))["metrics"]
    assert attacked.table("curve")["eps"].tolist() == [0.1]
    assert attacked.figures
    assert "<img" in attacked._repr_html_()


def test_what_is_wrong_is_raised(dlrun: Dlrun) -> None:
    with pytest.raises(python.UserError, match="did you mean 'lenet'"):
        python.train(model="lenett")
    with pytest.raises(python.UserError, match="no such verb; did you mean 'train'"):
        python.call("trian")
    with pytest.raises(python.UserError, match="no such folder"):
        python.open("nowhere")
    with pytest.raises(python.UserError, match="runs nothing"):
        python.train("--cfg", "job")
    assert not Path("runs").exists()
