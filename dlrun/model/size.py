"""Image sizes through convolutions: a model that cannot take an image says so in a sentence."""

from __future__ import annotations


def conv_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """The side of a convolution's or pooling's output for a square image; 0 or less means that it does not fit."""
    return (size + 2 * padding - kernel) // stride + 1


def require(model: str, image_size: int, smallest: int) -> None:
    """Refuse images that are too small.

    Raises:
        ValueError: the image is smaller than ``smallest`` pixels on a side; datasets of no images say that it has 1.
    """
    if image_size == 1:
        raise ValueError(
            f"{model} reads images, and these are none, or 1x1; expected model=signal_cnn or rnn for signals, text_cnn"
            f" or embedding_bag for texts, mlp or linear for points, or dataset.image_size={smallest} or more"
        )
    if image_size < smallest:
        raise ValueError(
            f"{model} takes images of {smallest}x{smallest} or more, not {image_size}x{image_size};"
            f" expected dataset.image_size={smallest} or more"
        )
