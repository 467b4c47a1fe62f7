"""Numbers to predict: scores against scikit-learn, a training against least squares, tables of one's own."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error, r2_score
from torch import nn

from dlrun.dataset import function, table
from dlrun.dataset.source import TensorSource
from dlrun.errors import UserError
from dlrun.task.regression import Regression
from tests.conftest import Dlrun, result

ROWS = "\n".join(f"{x},{x * x},{3 * x + 1}" for x in range(12))
QUIET = ("callback.tensorboard.graph=false", "callback.curves=null")


def test_scores_are_scikit_learns_in_the_datas_units() -> None:
    torch.manual_seed(0)
    task = Regression(nn.MSELoss(), 2, mean=[10.0, -5.0], std=[4.0, 0.5])
    targets = torch.randn(30, 2) * torch.tensor([4.0, 0.5]) + torch.tensor([10.0, -5.0])
    outputs = (targets - torch.tensor([10.0, -5.0])) / torch.tensor([4.0, 0.5]) + 0.3 * torch.randn(30, 2)
    scores = task.scores()
    for part, wanted in zip(torch.split(outputs, 8), torch.split(targets, 8), strict=True):
        batch = {"x": torch.zeros(len(part), 1), "target": wanted}
        scores.add(batch, task.loss(lambda _, part=part: part, batch).loss, part)  # type: ignore[misc]
    predicted = outputs * torch.tensor([4.0, 0.5]) + torch.tensor([10.0, -5.0])
    metrics = scores.metrics()
    assert metrics["r2"] == pytest.approx(r2_score(targets, predicted), rel=1e-5)
    assert metrics["mse"] == pytest.approx(mean_squared_error(targets, predicted), rel=1e-5)
    scaled = (targets - torch.tensor([10.0, -5.0])) / torch.tensor([4.0, 0.5])
    assert metrics["loss"] == pytest.approx(nn.functional.mse_loss(outputs, scaled).item(), rel=1e-5)


def test_the_explained_share_is_scikit_learns_for_numbers_of_any_size() -> None:
    torch.manual_seed(0)
    targets = 1e-4 * torch.randn(30, 1)
    outputs = targets + 5e-5 * torch.randn(30, 1)
    task = Regression(nn.MSELoss(), 1)
    scores = task.scores()
    scores.add({"x": torch.zeros(30, 1), "target": targets}, torch.tensor(0.0), outputs)
    assert scores.metrics()["r2"] == pytest.approx(r2_score(targets, outputs), rel=1e-5)


@pytest.mark.parametrize(("shape", "found"), [((4, 3), "3"), ((4, 2, 5), "2x5")])
def test_another_number_of_outputs_is_refused(shape: tuple[int, ...], found: str) -> None:
    task = Regression(nn.MSELoss(), 2)
    task.check_output(torch.zeros(4, 2))
    with pytest.raises(ValueError, match=f"^gives {found} outputs; task=regression expects 2$"):
        task.check_output(torch.zeros(shape))


@pytest.mark.parametrize("target", [torch.arange(4), torch.zeros(4), torch.zeros(4, 2, dtype=torch.int64)])
def test_data_with_classes_is_refused(target: torch.Tensor) -> None:
    task = Regression(nn.MSELoss(), 2)
    task.check_batch({"target": torch.zeros(4, 2)})
    message = "^task=regression: the data has classes and no numbers; expected task=classification$"
    with pytest.raises(UserError, match=message):
        task.check_batch({"target": target})


def test_the_error_of_a_batch_is_in_the_datas_units() -> None:
    """A prediction of 0.5 means 10 + 4 * 0.5 = 12, which is 3 away from 15."""
    outputs, batch = torch.tensor([[0.5]]), {"target": torch.tensor([[15.0]])}
    assert Regression(nn.MSELoss(), 1, mean=[10.0], std=[4.0]).batch_metrics(outputs, batch)["mse"] == 9.0
    assert Regression(nn.MSELoss(), 1).batch_metrics(outputs, batch)["mse"] == 14.5**2


def test_a_linear_training_comes_to_least_squares(dlrun: Dlrun) -> None:
    line = ("dataset=function", "dataset.source.function=line", "dataset.source.noise=0.5", "dataset.batch_size=200")
    whole = ("dataset.val_fraction=0", "scheduler=constant", "trainer.epochs=60", *QUIET, "hydra.run.dir=run")
    ended = dlrun("train", "task=regression", "model=linear", *line, *whole)
    assert ended.status == 0, ended.err
    splits = function.load("line", noise=0.5)
    assert isinstance(splits.train, TensorSource)
    assert isinstance(splits.test, TensorSource)
    x, y = splits.train.tensors["x"].numpy(), splits.train.tensors["target"].numpy()
    u, v = splits.test.tensors["x"].numpy(), splits.test.tensors["target"].numpy()
    predicted = LinearRegression().fit(x, y).predict(u)
    metrics = result(Path("run"))["metrics"]
    assert metrics["test/r2"] == pytest.approx(r2_score(v, predicted), abs=1e-3)
    assert metrics["test/mse"] == pytest.approx(mean_squared_error(v, predicted), rel=2e-3)
    assert (Path("run") / "figures" / "residuals.png").exists()


def test_points_of_a_function_are_noise_away_from_it() -> None:
    splits = function.load("sine", noise=0.2, train=4000, test=10, seed=1)
    assert isinstance(splits.train, TensorSource)
    x, y = splits.train.tensors["x"], splits.train.tensors["target"]
    errors = y - torch.sin(2 * math.pi * x)
    assert errors.std().item() == pytest.approx(0.2, rel=0.05)
    assert abs(errors.mean().item()) < 0.015
    with pytest.raises(ValueError, match="function=cosine: no such function; expected sine, step, line"):
        function.load("cosine")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_is_read_with_its_separator(tmp_path: Path, separator: str) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + ("a,b,c\n" + ROWS).replace(",", separator).encode())
    splits = table.load(str(tmp_path / "t.csv"), target="b")
    assert isinstance(splits.train, TensorSource)
    assert isinstance(splits.test, TensorSource)
    features = torch.cat([splits.train.tensors["features"], splits.test.tensors["features"]])
    targets = torch.cat([splits.train.tensors["target"], splits.test.tensors["target"]])
    order = features[:, 0].argsort()
    assert torch.equal(features[order, 1], 3 * torch.arange(12.0) + 1)
    assert torch.equal(targets[order, 0], torch.arange(12.0) ** 2)
    assert len(splits.test) == 2


def test_a_column_of_words_is_classes(tmp_path: Path) -> None:
    rows = "\n".join(f"{x},{'low' if x < 6 else 'high'}" for x in range(12))
    (tmp_path / "t.csv").write_text("x,what\n" + rows)
    splits = table.load(str(tmp_path / "t.csv"))
    assert splits.classes == ["high", "low"]
    assert isinstance(splits.train, TensorSource)
    assert torch.equal(splits.train.targets, (splits.train.tensors["features"][:, 0] < 6).long())


BAD = {
    "a,b\n1,2": "1 rows below a line of names; expected 10 or more",
    "1,2,3\n" + ROWS: "line 1 has numbers; expected the names of the columns",
    "a,a,c\n" + ROWS: "two columns of one name",
    "a,b,c\n" + ROWS + "\n1,2": "line 14 has 2 cells; expected 3, as line 1",
    "a,b,c\n" + ROWS + "\n1,,3": "line 14, column b: empty; expected a number",
    "a,b,c\n" + ROWS + "\nnan,2,3": "line 14, column a: nan; expected a number",
    "a,b,c\n" + ROWS + "\n1,2,many": "line 14, column c: neither a number nor a class",
    "c\n" + "\n".join(map(str, range(12))): "the column c alone",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_table_is_refused_in_a_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=BAD[text]) as error:
        table.load(str(tmp_path / "t.csv"))
    assert "\n" not in str(error.value)


def test_other_files_and_columns_are_refused(tmp_path: Path, dlrun: Dlrun) -> None:
    (tmp_path / "t.csv").write_text("size,rooms,price\n" + ROWS)
    (tmp_path / "n.csv").write_bytes(np.arange(200, dtype=np.uint8).tobytes())
    common = ("train", "dataset=table", "task=regression", "model=linear")
    for override, complaint in {
        "dataset.root=t.csv dataset.source.target=prize": "dataset.source.target=prize: no such column in t.csv",
        "dataset.root=u.csv": "dataset.root=u.csv: No such file or directory; expected a CSV file",
        "dataset.root=n.csv": "dataset.root=n.csv: no text in UTF-8; expected a CSV file",
        "dataset.root=t.csv task=classification": "task=classification: the data has numbers and no classes",
    }.items():
        ended = dlrun(*common, *override.split())
        assert (ended.status, len(ended.errors)) == (2, 1)
        assert complaint in ended.err
    ended = dlrun(*common, "dataset.root=t.csv", *QUIET, "hydra.run.dir=run")
    assert ended.status == 0, ended.err
    ended = dlrun("evaluate", "run=run", "hydra.run.dir=again")
    assert ended.status == 0, ended.err
    assert result(Path("again"))["metrics"]["test/r2"] == pytest.approx(result(Path("run"))["metrics"]["test/r2"])
