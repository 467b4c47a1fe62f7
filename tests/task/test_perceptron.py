"""The perceptron's rule against a plain loop, and what it can and cannot do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dlrun.dataset import points
from dlrun.dataset.source import TensorSource
from tests.conftest import Dlrun, result

QUIET = ("callback.tensorboard=null", "callback.decision_map=null", "callback.curves=null")


def test_online_updates_are_those_of_a_plain_loop(dlrun: Dlrun) -> None:
    ended = dlrun(
        "train", "experiment=perceptron", *QUIET, "trainer.epochs=3", "hydra.run.dir=run", "seed=3", "~expect"
    )
    assert ended.status == 0, ended.err
    source = points.blobs(200).train
    assert isinstance(source, TensorSource)
    weight, updates = np.zeros(3), 0
    for epoch in range(3):
        for index in np.random.default_rng([3, epoch]).permutation(200):
            x = np.append(source[int(index)]["point"].numpy(), 1.0)
            y = 2 * int(source.targets[index]) - 1
            if y * (weight @ x) <= 0:
                weight, updates = weight + y * x, updates + 1
    state = torch.load("run/checkpoints/last.pt", weights_only=True)["model"]
    found = np.append(state["weight"].numpy(), state["bias"].numpy())
    np.testing.assert_allclose(found, weight, rtol=1e-5)
    assert int(state["updates"]) == updates > 2


def test_separable_data_within_the_margin_bound_and_xor_never(dlrun: Dlrun) -> None:
    quick = (*QUIET, "trainer.epochs=5")
    for seed in (1, 2):
        ended = dlrun("train", "experiment=perceptron", *quick, f"seed={seed}", f"hydra.run.dir=run{seed}")
        assert ended.status == 0, ended.err
        metrics = result(Path(f"run{seed}"))["metrics"]
        assert 0 < metrics["test/updates"] <= metrics["test/updates_bound"]
    ended = dlrun("train", "experiment=xor_perceptron", *QUIET, "hydra.run.dir=xor")
    assert ended.status == 0, ended.err
    assert result(Path("xor"))["metrics"]["test/accuracy"] <= 0.75


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("linear", "dlrun: model=Linear: gives 2 outputs for 2 classes; the perceptron's rule has 1 for 2"),
        ("mlp", "dlrun: model=MLP: gives 2 outputs for 2 classes; the perceptron's rule has 1 for 2"),
    ],
)
def test_another_model_is_refused(dlrun: Dlrun, model: str, line: str) -> None:
    ended = dlrun("train", "task=perceptron", f"model={model}", "dataset=blobs")
    assert ended.status == 2
    assert ended.errors == [line]
