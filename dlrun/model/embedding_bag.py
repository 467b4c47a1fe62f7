"""A text classifier that forgets the order of the words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SPREAD = 0.1
"""Deviation of the first vectors: torch's 1 would drown what is learned of rare words."""


def start_small(embedding: nn.Embedding | nn.EmbeddingBag) -> None:
    """Give the words small random vectors; that of padding stays 0."""
    with torch.no_grad():
        nn.init.normal_(embedding.weight, std=SPREAD)[0].zero_()


class EmbeddingBag(nn.Module):
    """The mean of the words' vectors, and a linear classifier on it (Joulin et al. 2016, fastText).

    Source: 004_f2c8751b5d3b52bc.txt, plongements de mots.

    Args:
        words: numbers of the vocabulary; 0 is padding, which counts for nothing.
        num_classes: of the dataset.
        width: numbers of a word's vector.
        dropout: probability that a number of the mean is left out in training.
    """

    def __init__(self, words: int, num_classes: int, width: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(words, width, mode="mean", padding_idx=0)
        start_small(self.embedding)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, K) of texts, int64 (B, L)."""
        logits: Tensor = self.fc(self.dropout(self.embedding(tokens)))
        return logits
