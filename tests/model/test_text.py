"""Networks that read texts."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlrun.callback.words import nearest, telling
from dlrun.dataset.field import Label
from dlrun.dataset.loader import Loader
from dlrun.dataset.source import TensorSource
from dlrun.dataset.vocabulary import Tokens, Vocabulary
from dlrun.model.embedding_bag import EmbeddingBag
from dlrun.model.text_cnn import TextCNN

TOKENS = torch.tensor([[4, 2, 7, 0, 0, 0], [3, 3, 5, 6, 2, 9]])


def test_the_bag_is_the_mean_of_the_words_alone() -> None:
    model = EmbeddingBag(words=10, num_classes=3, width=4)
    vectors = model.embedding.weight
    means = torch.stack([vectors[[4, 2, 7]].mean(dim=0), vectors[TOKENS[1]].mean(dim=0)])
    assert torch.allclose(model(TOKENS), model.fc(means), atol=1e-6)
    assert not vectors[0].any()


def test_the_convolutions_equal_a_plain_loop() -> None:
    model = TextCNN(words=10, num_classes=3, width=4, kernels=(2, 3), channels=5).eval()
    for row, length in zip(TOKENS, (3, 6), strict=True):
        features = []
        for conv, kernel in zip(model.convs, (2, 3), strict=True):
            assert isinstance(conv, nn.Conv1d)
            bias = conv.get_parameter("bias")
            vectors = F.pad(model.embedding(row[:length]).T, (kernel // 2, kernel // 2))
            at = [(conv.weight * vectors[:, i : i + kernel]).sum(dim=(1, 2)) + bias for i in range(length)]
            features.append(torch.stack(at).relu().amax(dim=0))
        assert torch.allclose(model(row[None])[0], model.fc(torch.cat(features)), atol=1e-5)


@pytest.mark.parametrize("model", [EmbeddingBag(10, 3), TextCNN(10, 3).eval()])
def test_padding_changes_nothing(model: nn.Module) -> None:
    longer = F.pad(TOKENS, (0, 9))
    assert torch.allclose(model(TOKENS), model(longer), atol=1e-6)


def test_nearest_words_are_those_of_the_largest_cosine() -> None:
    vectors = torch.tensor([[1.0, 0.0], [3.0, 0.1], [0.0, 2.0], [-1.0, 0.0]])
    found = nearest(vectors, torch.tensor([0]), 2)[0]
    assert [place for place, _ in found] == [1, 2]
    assert [value for _, value in found] == pytest.approx([3 / (9.01**0.5), 0.0])


def test_telling_words_are_frequent_in_their_class_and_rare_elsewhere() -> None:
    known = Vocabulary(("the", "rain", "goal"))
    tokens = known.encode([["the", "the", "rain"], ["the", "goal", "goal"]], length=4)
    source = TensorSource({"tokens": tokens, "target": torch.tensor([0, 1])})
    fields = {"tokens": Tokens(known), "target": Label()}
    loader = Loader(source, 2, torch.device("cpu"), in_memory=True, workers=0, num_classes=2, fields=fields)
    assert telling(loader, len(known), 2) == [known.numbers["rain"], known.numbers["goal"]]
