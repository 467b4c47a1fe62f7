"""Networks that read signals, and images row by row; the signals of MNIST-1D."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dlrun.dataset import mnist1d
from dlrun.dataset.source import TensorSource
from dlrun.errors import UserError
from dlrun.figure.samples import samples
from dlrun.model.rnn import RNN
from dlrun.model.signal_cnn import SignalCNN


def test_the_plain_network_equals_a_loop_over_the_rows() -> None:
    torch.manual_seed(0)
    model = RNN(3, 4, num_classes=2, cell="rnn", hidden=5)
    images = torch.rand(2, 3, 4, 4)
    within, between, first, second = (
        getattr(model.rnn, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    state = torch.zeros(2, 5)
    for row in range(4):
        seen = images[:, :, row].flatten(1)  # all channels of the row
        state = torch.tanh(seen @ within.T + first + state @ between.T + second)
    assert torch.allclose(model(images), model.head(state), atol=1e-6)


def test_the_gated_network_equals_its_formulas() -> None:
    torch.manual_seed(0)
    model = RNN(1, 1, num_classes=2, shape=[1, 6], cell="gru", hidden=3)
    signal = torch.randn(1, 1, 6)
    cell = nn.GRUCell(1, 3)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in model.rnn.state_dict().items()})
    state = torch.zeros(1, 3)
    for value in signal[0, 0]:
        state = cell(value.view(1, 1), state)
    assert torch.allclose(model(signal), model.head(state), atol=1e-6)


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_both_ends_are_seen(cell: str) -> None:
    torch.manual_seed(0)
    signals = torch.randn(2, 1, 7)
    model = RNN(1, 1, 4, [1, 7], cell, hidden=3, bidirectional=True)  # type: ignore[arg-type]
    weights = model.rnn.state_dict()  # alike in both directions, so a turned signal swaps the states
    model.rnn.load_state_dict({name: weights[name.removesuffix("_reverse")] for name in weights})
    features: list[torch.Tensor] = []
    model.head.register_forward_pre_hook(lambda _, given: features.append(given[0]))
    model(signals), model(signals.flip(2))
    assert torch.allclose(features[0], features[1].roll(3, dims=1), atol=1e-6)
    assert not torch.allclose(features[0], features[1], atol=1e-2)


def test_convolutions_halve_the_length() -> None:
    model = SignalCNN(10, [2, 40], width=6, kernels=(5, 3, 3))
    assert model.features(torch.zeros(1, 2, 40)).shape == (1, 6, 5)
    assert model(torch.zeros(3, 2, 40)).shape == (3, 10)


def test_other_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="rnn reads images"):
        RNN(2, 1, 2, [2])
    with pytest.raises(ValueError, match="expected such a dataset, as mnist1d"):
        SignalCNN(2, None)


def test_signals_are_those_of_the_package_and_leave_the_random_numbers_alone() -> None:
    data = pytest.importorskip("mnist1d.data")
    np.random.seed(7)
    expected = np.random.rand()
    np.random.seed(7)
    splits = mnist1d.load(count=50)
    assert np.random.rand() == expected
    options = data.get_dataset_args()
    options.num_samples = 50
    made = data.make_dataset(options)
    assert isinstance(splits.train, TensorSource)
    assert isinstance(splits.test, TensorSource)
    assert np.allclose(splits.train.tensors["signal"][:, 0], made["x"], atol=1e-6)
    assert splits.test.targets.tolist() == made["y_test"].tolist()
    shuffled = mnist1d.load(count=50, shuffle=True)
    assert isinstance(shuffled.train, TensorSource)
    values, mixed = splits.train.tensors["signal"][0, 0], shuffled.train.tensors["signal"][0, 0]
    assert torch.allclose(values.sort().values, mixed.sort().values)
    assert not torch.allclose(values, mixed)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mnist1d.data", None)
    with pytest.raises(UserError, match=r"needs the package mnist1d; pip install 'dlrun\[mnist1d\]'"):
        mnist1d.load()


def test_signals_are_drawn_as_curves() -> None:
    figure = samples("Signals", torch.randn(5, 2, 9), list("abcde"))
    drawn = [axes for axes in figure.axes if axes.lines]
    assert [axes.get_title() for axes in drawn] == list("abcde")
    assert all(len(axes.lines) == 2 and np.shape(axes.lines[0].get_ydata()) == (9,) for axes in drawn)
