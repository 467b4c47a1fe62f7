from __future__ import annotations

import math

import pytest
import torch
from scipy import signal

from dlrun.errors import UserError
from dlrun.lesson.iss import INCLINATION, ISS, PERIOD, best, latitude, learned, smooth


def test_the_station_circles_between_its_inclinations() -> None:
    path = latitude(0, 1000)
    assert float(path[0]) == 0
    assert float(path.max()) == pytest.approx(INCLINATION, abs=0.1)
    # A quarter of an orbit later it is at its highest.
    assert int(path[:60].argmax()) == round(PERIOD / 4)


def test_a_weighted_mean_is_scipys_correlation() -> None:
    seen, weights = torch.randn(50, dtype=torch.double), torch.randn(7, dtype=torch.double)
    theirs = signal.correlate(seen.numpy(), weights.numpy(), "valid")
    assert smooth(seen, weights).allclose(torch.from_numpy(theirs), atol=1e-12)


def test_the_best_weights_of_a_constant_in_noise_are_equal() -> None:
    # Closed form: w = c^2 / (sigma^2 + n c^2) for each of n weights.
    torch.manual_seed(0)
    truth = torch.full((200_000,), 2.0, dtype=torch.double)
    weights = best(truth + torch.randn(200_000, dtype=torch.double), truth, 4)
    assert weights.allclose(torch.tensor(4 / (1 + 4 * 4), dtype=torch.double), atol=5e-3)


def test_gradient_descent_comes_to_the_best_weights() -> None:
    torch.manual_seed(0)
    truth = latitude(0, 1000)
    seen = truth + 8 * torch.randn(1000, dtype=torch.double)
    assert learned(seen, truth, 5).allclose(best(seen, truth, 5), atol=1e-3)
    assert not math.isclose(float(best(seen, truth, 5)[0]), 0.2, abs_tol=0.02)


def test_no_noise_is_refused() -> None:
    with pytest.raises(UserError, match=r"^lesson.noise=0: expected degrees above 0"):
        ISS(0, 9)
