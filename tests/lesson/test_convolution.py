from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from dlrun.errors import UserError
from dlrun.lesson.convolution import MOTIF, RAMP, STEP, Convolution, both_orders, correlate


def test_the_documents_ramp() -> None:
    assert correlate(RAMP, STEP) == [0, 0, 0, 1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(("length", "kernel"), [(5, 1), (9, 4), (6, 6)])
def test_both_operations_are_scipys(length: int, kernel: int) -> None:
    rng = np.random.default_rng(0)
    x, k = rng.normal(size=length).tolist(), rng.normal(size=kernel).tolist()
    np.testing.assert_allclose(correlate(x, k), signal.correlate(x, k, "valid"), atol=1e-12)
    orders = both_orders(x, k)
    np.testing.assert_allclose(orders["x ⋆ k"], signal.correlate(x, k), atol=1e-12)
    np.testing.assert_allclose(orders["k ⋆ x"], signal.correlate(k, x), atol=1e-12)
    np.testing.assert_allclose(orders["x * k"], np.convolve(x, k), atol=1e-12)
    np.testing.assert_allclose(orders["k * x"], np.convolve(k, x), atol=1e-12)


def test_the_motif_resembles_no_shifted_copy_of_itself() -> None:
    likeness = signal.correlate(MOTIF, MOTIF).tolist()
    assert likeness.pop(len(MOTIF) - 1) == 7
    assert max(map(abs, likeness)) == 1


def test_a_kernel_longer_than_the_signal_is_refused() -> None:
    with pytest.raises(UserError, match=r"^lesson.kernel=\[1, 2, 3\]: 3 numbers for a signal of 2; expected 1 to 2$"):
        Convolution([1, 2], [1, 2, 3], 0.1)
