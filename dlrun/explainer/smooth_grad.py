"""SmoothGrad."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import captum.attr
from torch import Tensor

from dlrun.explainer.attribution import Attribution, Scores


@dataclass
class SmoothGrad(Attribution):
    """Saliency, averaged over noisy copies of the image (Smilkov et al. 2017, SmoothGrad).

    Args:
        samples: copies.
        noise: the standard deviation of the noise, as a share of the pixel range.
    """

    samples: int = 25
    noise: float = 0.15

    def method(self, scores: Scores) -> Callable[..., Tensor]:
        """Captum's NoiseTunnel around its Saliency, a copy of the batch at a time."""
        tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(scores))
        options = {"nt_type": "smoothgrad", "nt_samples": self.samples, "nt_samples_batch_size": 1}
        return partial(tunnel.attribute, stdevs=self.noise, **options)

    def reduce(self, attributions: Tensor) -> Tensor:
        """The largest over the channels."""
        return attributions.abs().amax(dim=1)
