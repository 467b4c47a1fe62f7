"""How far a measured share can be trusted."""

from __future__ import annotations

import math


def wilson(count: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a binomial share by Wilson's score; 95% of such intervals hold the true share.

    Args:
        count: successes, 0 to ``total``.
        total: trials, 1 or more.
        z: the normal quantile of the confidence.
    """
    share = count / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    # At the ends the formula gives 0 and 1 but for rounding.
    return (centre - half if count else 0.0), (centre + half if count < total else 1.0)


def difference(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """The 95% interval of the first share less the second, of independent samples (Newcombe 1998, method 10).

    Args:
        first: successes and trials.
        second: the same of the other share.
    """
    (one, (low, high)), (other, (least, most)) = (
        (count / total, wilson(count, total)) for count, total in (first, second)
    )
    return (
        one - other - math.hypot(one - low, most - other),
        one - other + math.hypot(high - one, other - least),
    )
