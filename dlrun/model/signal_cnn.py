"""A convolutional network on signals."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class SignalCNN(nn.Module):
    """1-D convolutions of stride 2, each with ReLU, and a dense layer (004_f2c8751b5d3b52bc.txt, convolution 1D).

    Args:
        num_classes: of the dataset.
        shape: of a signal: channels and length.
        width: channels of every convolution.
        kernels: one for each convolution, odd.

    Raises:
        ValueError: the inputs are no signals.
    """

    def __init__(
        self, num_classes: int, shape: Sequence[int] | None, width: int = 32, kernels: Sequence[int] = (5, 3, 3)
    ) -> None:
        super().__init__()
        if shape is None or len(shape) != 2:
            raise ValueError("signal_cnn reads signals (C, L); expected such a dataset, as mnist1d")
        channels, length = shape
        layers: list[nn.Module] = []
        for kernel in kernels:
            layers += [nn.Conv1d(channels, width, kernel, stride=2, padding=kernel // 2), nn.ReLU()]
            channels, length = width, (length + 1) // 2
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width * length, num_classes)

    def forward(self, signals: Tensor) -> Tensor:
        """Logits (B, K) of signals (B, C, L)."""
        logits: Tensor = self.head(self.features(signals).flatten(1))
        return logits
