"""A convolutional network on text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.model.embedding_bag import start_small


class TextCNN(nn.Module):
    """Convolutions of several widths over the words' vectors, and the largest value of each (Kim 2014).

    Source: 004_f2c8751b5d3b52bc.txt, 1D, plongements de mots. What lies behind the end of a text changes nothing.

    Args:
        words: numbers of the vocabulary; 0 is padding.
        num_classes: of the dataset.
        width: numbers of a word's vector.
        kernels: words that a convolution sees at once, one entry for each convolution.
        channels: of each convolution.
        dropout: probability that a feature is left out in training.
    """

    def __init__(
        self,
        words: int,
        num_classes: int,
        width: int = 64,
        kernels: Sequence[int] = (3, 4, 5),
        channels: int = 64,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=0)
        start_small(self.embedding)
        self.convs = nn.ModuleList(nn.Conv1d(width, channels, kernel, padding=kernel // 2) for kernel in kernels)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels * len(kernels), num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, K) of texts, int64 (B, L)."""
        vectors = self.embedding(tokens).transpose(1, 2)
        is_word = (tokens != 0).unsqueeze(1)
        length = tokens.shape[1]
        # An even kernel gives one position more. What a convolution says of no word is 0, the least that ReLU gives.
        largest = [(F.relu(conv(vectors)[..., :length]) * is_word).amax(dim=2) for conv in self.convs]
        logits: Tensor = self.fc(self.dropout(torch.cat(largest, dim=1)))
        return logits
