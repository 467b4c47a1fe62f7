"""Sequences: loss and measures against a plain loop, padding that counts for nothing, and the verbs on such runs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.functional import to_pil_image

from dlrun.dataset import shapes
from dlrun.dataset.source import TensorSource
from dlrun.errors import UserError
from dlrun.model.normalized import Normalized
from dlrun.model.seq2seq import Seq2Seq as Network
from dlrun.task.captioning import Captioning
from dlrun.task.seq2seq import Seq2Seq
from dlrun.task.sequence import counted, cut
from dlrun.task.task import Clock
from tests.conftest import Dlrun, Train, result

QUESTIONS = torch.tensor([[4, 2, 7, 0, 0], [3, 3, 5, 6, 0], [8, 0, 0, 0, 0]])
ANSWERS = torch.tensor([[2, 4, 0, 0, 0], [6, 5, 3, 2, 0], [8, 0, 0, 0, 0]])
BATCH = {"tokens": QUESTIONS, "answer": ANSWERS}

COMMON = (
    "optimizer=adam",
    "optimizer.lr=0.01",
    "trainer.epochs=2",
    "callback.tensorboard.graph=false",
    "callback.curves=null",
)
ADDITION = (
    *("task=seq2seq", "dataset=addition", "model=seq2seq", "model.hidden=8", "dataset.source.number_digits=1"),
    *("dataset.source.train=60", "dataset.source.test=20", *COMMON),
)
CAPTIONS = (
    *("task=captioning", "dataset=shapes", "model=captioner", "model.hidden=8", "model.widths=[4,4]", "model.pools=1"),
    *("dataset.image_size=16", "dataset.source.train=60", "dataset.source.test=20", *COMMON),
)


def network(words: int = 9) -> Normalized:
    torch.manual_seed(0)
    return Normalized(Network(words, [5], hidden=8, width=4).eval(), None, None)


def test_what_is_behind_the_end_counts_for_nothing() -> None:
    assert counted(ANSWERS).sum(dim=1).tolist() == [3, 5, 2]
    assert cut(torch.tensor([[3, 0, 4, 0], [0, 1, 2, 3]])).tolist() == [[3, 0, 0, 0], [0, 0, 0, 0]]


def test_the_loss_is_the_mean_over_all_numbers_up_to_the_ends() -> None:
    net, task = network(), Seq2Seq(nn.CrossEntropyLoss(), 9, 9)
    found = task.loss(net, dict(BATCH))
    losses = []
    for row, (question, answer) in enumerate(zip(QUESTIONS, ANSWERS, strict=True)):
        before, letters = 0, (answer != 0).sum() + 1
        for place in range(int(letters)):
            prefix = torch.cat([answer[:place], torch.zeros(5 - place, dtype=torch.int64)])
            logits = net.network.teacher_forced(question[None], prefix[None]).logits[0, place]  # type: ignore[operator]
            losses.append(F.cross_entropy(logits[None], answer[place][None]))
            torch.testing.assert_close(found.outputs[row, place], logits, rtol=1e-5, atol=1e-6)
            before = int(answer[place])
        assert before == 0
    torch.testing.assert_close(found.loss, torch.stack(losses).mean(), rtol=1e-5, atol=1e-6)
    assert int(task.weight(BATCH)) == len(losses)


def test_padding_changes_neither_loss_nor_measures() -> None:
    net, task = network(), Seq2Seq(nn.CrossEntropyLoss(), 9, 9)
    longer = {name: F.pad(values, (0, 4)) for name, values in BATCH.items()}
    one, other = task.evaluate(net, dict(BATCH)), task.evaluate(net, dict(longer))
    torch.testing.assert_close(one.loss, other.loss, rtol=1e-6, atol=1e-6)
    for name, value in task.batch_metrics(one.outputs, BATCH).items():
        torch.testing.assert_close(value, task.batch_metrics(other.outputs, longer)[name])
    parts = [task.loss(net, {name: values[[row]] for name, values in BATCH.items()}) for row in range(3)]
    weights = torch.tensor([3.0, 5.0, 2.0])  # a mean over batches weighs their numbers
    mean = (torch.stack([part.loss for part in parts]) * weights).sum() / weights.sum()
    torch.testing.assert_close(one.loss, mean, rtol=1e-5, atol=1e-6)


def table(run: Path) -> list[dict[str, str]]:
    with (run / "predictions.csv").open() as stream:
        return list(csv.DictReader(stream))


def logits_of(numbers: Tensor) -> Tensor:
    return F.one_hot(numbers, 9).float()


def test_measures_are_shares_of_sequences_and_of_their_numbers() -> None:
    task = Seq2Seq(nn.CrossEntropyLoss(), 9, 9)
    written = torch.tensor([[2, 4, 0, 7, 7], [6, 5, 3, 1, 0], [8, 8, 8, 0, 0]])  # what follows the end is no mistake
    scores = task.scores()
    scores.add({**BATCH, "attention": torch.zeros(3, 5, 5)}, torch.tensor(0.5), logits_of(written))
    metrics = scores.metrics()
    assert metrics["exact_match"] == pytest.approx(1 / 3)
    assert metrics["token_accuracy"] == pytest.approx((1 + 4 / 5 + 1 / 2) / 3)
    assert scores.exact.tolist() == [True, False, False]
    assert scores.by_length() == {1: (0, 1), 3: (1, 1), 4: (0, 1)}


def test_an_exact_match_is_the_same_with_teacher_forcing_and_without() -> None:
    """A sequence is right as a whole if each number after the right ones is right."""
    torch.manual_seed(1)
    net, task = network(words=4), Seq2Seq(nn.CrossEntropyLoss(), 4, 4)
    questions = torch.randint(1, 4, (400, 5))
    answers = net(questions).argmax(dim=2)
    answers[::2, 2] = torch.randint(1, 4, (200,))  # a mistake in some of them
    batch = {"tokens": questions, "answer": cut(answers)}
    forced = task.batch_metrics(task.loss(net, dict(batch)).outputs, batch)
    greedy = task.batch_metrics(task.evaluate(net, dict(batch)).outputs, batch)
    assert 0.1 < float(forced["exact_match"]) < 0.9
    assert float(forced["exact_match"]) == float(greedy["exact_match"])


def test_processes_that_share_a_batch_have_its_attention() -> None:
    net, task = network(), Seq2Seq(nn.CrossEntropyLoss(), 9, 9)
    part = dict(BATCH)
    prepared = task.prepare(net, part, Clock())
    task.evaluate(net, prepared)
    assert prepared.keys() - part.keys() == {"attention"}  # only what is new is sent to the others


def test_combinations_held_out_are_measured_apart() -> None:
    task = Captioning(nn.CrossEntropyLoss(), 25, 9)
    wrong = ANSWERS.clone()
    wrong[1, 0] = 1
    batch = {"image": QUESTIONS, "caption": ANSWERS, "held_out": torch.tensor([0, 1, 1])}
    scores = task.scores()
    scores.add({**batch, "attention": torch.zeros(3, 5, 4)}, torch.tensor(0.5), logits_of(wrong))
    metrics = scores.metrics()
    assert metrics["exact_match"] == pytest.approx(2 / 3)
    assert metrics["seen_exact_match"] == 1
    assert metrics["held_out_exact_match"] == 0.5


def test_a_sequence_without_an_end_is_refused() -> None:
    with pytest.raises(UserError, match="answer fills all its 2 places; expected one more, for its end"):
        Seq2Seq(nn.CrossEntropyLoss(), 9, 9).check_batch({"tokens": QUESTIONS[:1], "answer": torch.tensor([[1, 2]])})


@pytest.mark.parametrize("settings", [ADDITION, CAPTIONS])
def test_a_run_draws_what_it_looked_at_and_is_evaluated(
    dlrun: Dlrun, train_once: Train, settings: tuple[str, ...]
) -> None:
    run = train_once(*settings, "hydra.run.dir=whole")
    assert (run / "figures" / "attention.png").exists()
    rows = table(run)
    found = result(run)["metrics"]
    assert sum(int(row["correct"]) for row in rows) / len(rows) == pytest.approx(found["test/exact_match"])
    ended = dlrun("evaluate", "run=whole", "hydra.run.dir=measured")
    assert ended.status == 0, ended.err
    again = result(Path("measured"))["metrics"]
    assert {name: again[name] for name in again} == pytest.approx({name: found[name] for name in again}, abs=1e-6)


def test_a_picture_is_described_as_in_the_test(dlrun: Dlrun, train_once: Train) -> None:
    run = train_once(*CAPTIONS, "hydra.run.dir=whole")
    held_out = OmegaConf.load(run / "config.yaml").dataset.source.held_out
    drawn = shapes.load(16, train=60, test=20, held_out=list(held_out)).test
    assert isinstance(drawn, TensorSource)
    Path("pictures").mkdir()
    for number in (3, 12):
        to_pil_image(drawn.tensors["image"][number]).save(f"pictures/{number:02}.png")
    ended = dlrun("predict", "run=whole", "input=pictures", "hydra.run.dir=described")
    assert ended.status == 0, ended.err
    written, described = (table(Path(name)) for name in ("whole", "described"))
    assert [row["caption"] for row in described] == [written[number]["written"] for number in (3, 12)]
    assert Path("described/predictions.png").exists()


def test_what_depends_on_lengths_is_counted_and_exported_as_weights_alone(dlrun: Dlrun, train_once: Train) -> None:
    run = train_once(*ADDITION, "hydra.run.dir=whole")
    assert dlrun("inspect", "run=whole", "hydra.run.dir=inspected").status == 0
    assert result(Path("inspected"))["metrics"]["parameters"] == result(run)["parameters"]
    ended = dlrun("export", "run=whole", "format=torch_export", "hydra.run.dir=exported")
    assert (ended.status, len(ended.errors)) == (2, 1)
    assert "torch.export cannot follow Seq2Seq" in ended.err


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            (*ADDITION[:2], "model=text_cnn"),
            "model=TextCNN: gives 13 outputs; expected 13 at each place, as of model=seq2seq",
        ),
        (
            (*ADDITION, "dataset.shape=[2]"),
            "dataset.shape=[2]: too short for two numbers of 1 digits; expected 3 or more",
        ),
        ((*CAPTIONS, "dataset.source.length=3"), "dataset.source.length=3: the longest caption has 8 words and an end"),
        ((*CAPTIONS, "dataset.source.held_out=[small,large]"), "leaves no size 'small' to train on"),
        (CAPTIONS[::2][:2], "model: captioner writes captions, and the dataset has none"),
        ((*ADDITION, "loss.weight=balanced"), "loss.weight=balanced: the data has no classes (tokens, answer)"),
    ],
)
def test_what_cannot_be_written_is_refused_in_a_line(dlrun: Dlrun, settings: tuple[str, ...], complaint: str) -> None:
    ended = dlrun("train", *settings)
    assert ended.status == 2
    assert len(ended.errors) == 1
    assert complaint in ended.err
