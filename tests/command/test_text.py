"""Texts from the training to every verb: those that suit them work, the others refuse in a sentence."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.conftest import Dlrun, Train, result

SMALL = (
    *("dataset=sentences", "dataset.source.count=40", "model=embedding_bag", "optimizer=adam", "optimizer.lr=0.02"),
    *("trainer.epochs=3", "callback.tensorboard.graph=false", "callback.curves=null", "hydra.run.dir=text"),
)


def test_a_run_on_texts_is_opened_with_its_own_words(dlrun: Dlrun, train_once: Train, tmp_path: Path) -> None:
    run = train_once(*SMALL)
    accuracy = result(run)["metrics"]["test/accuracy"]
    assert accuracy > 0.75
    assert (run / "figures" / "nearest_words.png").exists()
    assert (run / "00000" / "features" / "metadata.tsv").read_text().split() == (
        (run / "vocabulary.txt").read_text().split()
    )
    evaluated = dlrun("evaluate", "run=text", "hydra.run.dir=evaluated")
    assert evaluated.status == 0, evaluated.err
    assert result(Path("evaluated"))["metrics"]["test/accuracy"] == accuracy
    (tmp_path / "asked").mkdir()
    for number, text in enumerate(("Rain covers the coast, snow reaches the hills.", "The pianist plays a sonata.")):
        (tmp_path / "asked" / f"{number}.txt").write_text(text)
    # Other texts, in which words would have other numbers, are read with the run's words.
    (tmp_path / "other.tsv").write_text("weather\train covers the coast\nmusic\tthe pianist plays a sonata\n" * 5)
    of_own = ("dataset=texts", "dataset.root=other.tsv", "split=train")
    other = dlrun("evaluate", "run=text", *of_own, "hydra.run.dir=other")
    assert other.status == 0, other.err
    assert result(Path("other"))["metrics"]["train/accuracy"] == 1.0
    predicted = dlrun("predict", "run=text", "input=asked", "top_k=1", "hydra.run.dir=predicted")
    assert predicted.status == 0, predicted.err
    rows = list(csv.DictReader((Path("predicted") / "predictions.csv").open()))
    assert [row["class"] for row in rows] == ["weather", "music"]


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (("explain",), "explain needs images; the examples of this dataset are texts"),
        (("visualize", "visualizer=filters"), "visualize needs images; the examples of this dataset are texts"),
        (("attack",), "the words of a text cannot be; expected images or points"),
        (("certify",), "the words of a text cannot be; expected images or points"),
        (("predict", "input=nothing"), "input=nothing: no such file or folder; expected a text file"),
    ],
)
def test_what_does_not_suit_texts_refuses(verb: tuple[str, ...], words: str, dlrun: Dlrun, train_once: Train) -> None:
    train_once(*SMALL)
    ended = dlrun(verb[0], "run=text", *verb[1:])
    assert (ended.status, len(ended.errors)) == (2, 1)
    assert words in ended.err


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ("dataset.augment.flip=0.5",),
            "flip=0.5: changes images, and the data has none (tokens, target)",
        ),
        (("dataset.augment.mixup=0.5",), "dataset.augment.mixup=0.5: cannot mix the data's tokens"),
        (("task=adversarial",), "the words of a text cannot be"),
        (("model=mlp",), "model=MLP: cannot take inputs of 24"),
        (("callback.words.words=[raim]",), "callback.words.words=raim: not in the vocabulary; did you mean 'rain'"),
    ],
)
def test_a_training_that_does_not_suit_texts_is_refused(overrides: tuple[str, ...], words: str, dlrun: Dlrun) -> None:
    ended = dlrun("train", *SMALL, *overrides)
    assert (ended.status, len(ended.errors)) == (2, 1), ended.err
    assert words in ended.err


@pytest.mark.parametrize("format", ["state_dict", "torch_export"])
def test_a_text_model_is_exported(format: str, dlrun: Dlrun, train_once: Train) -> None:
    train_once(*SMALL)
    ended = dlrun("export", "run=text", f"format={format}", "hydra.run.dir=exported")
    assert ended.status == 0, ended.err
    assert result(Path("exported"))["difference"] < 1e-5
