"""Networks that write sequences: attention against torch's, padding, decoding step by step and at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.model.attention import attend
from dlrun.model.captioner import Captioner
from dlrun.model.decoder import Writer
from dlrun.model.seq2seq import Seq2Seq

QUESTIONS = torch.tensor([[4, 2, 7, 0, 0, 0], [3, 3, 5, 6, 2, 0], [8, 0, 0, 0, 0, 0]])
ANSWERS = torch.tensor([[2, 4, 0, 0, 0, 0], [6, 5, 3, 2, 0, 0], [8, 0, 0, 0, 0, 0]])


def seq2seq(**options: Any) -> Seq2Seq:
    torch.manual_seed(0)
    return Seq2Seq(words=9, shape=[6], hidden=8, width=4, **options).eval()


def captioner() -> Captioner:
    torch.manual_seed(0)
    return Captioner(channels=3, image_size=8, words=9, length=6, widths=[4, 5], pools=1, hidden=8, width=4).eval()


@pytest.mark.parametrize("masked", [True, False])
def test_attention_equals_that_of_torch(masked: bool) -> None:
    torch.manual_seed(0)
    queries, keys, values = torch.randn(3, 5, 8), torch.randn(3, 7, 8), torch.randn(3, 7, 6)
    there = torch.arange(7) < torch.tensor([[7], [2], [1]]) if masked else None
    mask = None if there is None else there.unsqueeze(1)
    found, weights = attend(queries, keys, values, there)
    wanted = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(3, 5))
    assert there is None or not weights.masked_select(~there.unsqueeze(1)).any()


@pytest.mark.parametrize("options", [{}, {"cell": "gru"}, {"attention": False}])
def test_padding_changes_nothing(options: dict[str, Any]) -> None:
    model = seq2seq(**options)
    longer = F.pad(QUESTIONS, (0, 5))
    for one, other in (
        (model.teacher_forced(QUESTIONS, ANSWERS), model.teacher_forced(longer, ANSWERS)),
        (model.greedy(QUESTIONS, 6), model.greedy(longer, 6)),
    ):
        torch.testing.assert_close(one.logits, other.logits, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(one.weights, other.weights[:, :, :6], rtol=1e-5, atol=1e-6)
        assert not other.weights[:, :, 6:].any()
    alone = torch.cat([model(row[row != 0].unsqueeze(0)) for row in QUESTIONS])  # each without padding
    torch.testing.assert_close(model(QUESTIONS), alone, rtol=1e-5, atol=1e-6)


def test_an_empty_text_is_read_as_one_of_padding_alone() -> None:
    model = seq2seq()
    assert torch.equal(model(torch.zeros(1, 6, dtype=torch.int64)), model(torch.zeros(1, 1, dtype=torch.int64)))


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (seq2seq(), QUESTIONS),
        (seq2seq(cell="gru", attention=False), QUESTIONS),
        (captioner(), torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))),
    ],
)
def test_greedy_decoding_is_teacher_forcing_with_what_it_wrote(model: Writer, inputs: Tensor) -> None:
    written = model.greedy(inputs, 6)
    forced = model.teacher_forced(inputs, written.logits.argmax(dim=2))
    torch.testing.assert_close(forced.logits, written.logits, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(forced.weights, written.weights, rtol=1e-5, atol=1e-6)
    assert torch.equal(model(inputs), written.logits)


def test_the_encoder_equals_lstm_cells_in_both_directions() -> None:
    model = seq2seq()
    length = 3
    vectors = model.embedding(QUESTIONS[:1, :length])
    found = model.encode(QUESTIONS)
    for suffix, order, half in (("", range(length), slice(0, 4)), ("_reverse", reversed(range(length)), slice(4, 8))):
        cell = nn.LSTMCell(4, 4)
        cell.load_state_dict(
            {
                name.removesuffix(f"_l0{suffix}"): values
                for name, values in model.encoder.state_dict().items()
                if name.endswith(f"l0{suffix}")
            }
        )
        state = (torch.zeros(1, 4), torch.zeros(1, 4))
        for place in order:
            state = cell(vectors[:, place], state)
            torch.testing.assert_close(found.places[:1, place, half], state[0], rtol=1e-5, atol=1e-6)
    assert not found.places[0, length:].any()


def test_a_captioner_looks_at_every_position() -> None:
    model = captioner()
    written = model.greedy(torch.rand(2, 3, 8, 8), 6)
    assert written.weights.shape == (2, 6, 16)
    assert written.logits.shape == (2, 6, 9)
    memory = model.encode(torch.zeros(1, 3, 8, 8))
    assert memory.keys is not None
    inside = memory.keys[0].view(4, 4, -1)[1:3, 1:3].flatten(0, 1)
    torch.testing.assert_close(inside, inside[:1].expand(4, -1))  # found by what is there, the same everywhere
    assert not torch.allclose(memory.places[0, 5], memory.places[0, 6])  # and what is read says where
    torch.testing.assert_close(memory.places[0, :, 5:], memory.keys[0, :, :5].amax(dim=0).expand(16, -1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Seq2Seq(9, [6], hidden=7), "hidden=7: expected an even number"),
        (lambda: Seq2Seq(None, [1, 8, 8]), "seq2seq reads texts"),
        (lambda: Captioner(3, 8, None, 6), "captioner writes captions"),
        (lambda: Captioner(3, 4, 9, 6), "pools=2: 3 stages leave 1x1 of 4x4 pixels"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
