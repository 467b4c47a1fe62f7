"""``dlrun predict`` on a run that reads images and texts: which of some texts fits a picture best."""

from __future__ import annotations

import torch
from omegaconf import DictConfig
from torch import Tensor

from dlrun import paths
from dlrun.dataset import vocabulary
from dlrun.dataset.vocabulary import Vocabulary, words_of
from dlrun.errors import UserError, suggest
from dlrun.task.clip import describing
from dlrun.trained import Trained

EXAMPLE = "expected texts to choose from, such as 'classes=[a red circle,a blue square]'"


def described(config: DictConfig, trained: Trained) -> tuple[list[str], Tensor]:
    """The texts of ``classes``, and their vectors (K, D), scaled so that products with those of images are logits.

    Raises:
        UserError: there are not two or more, or one cannot be read by the network.
    """
    if config.run is None:
        raise UserError(f"run: none given; {config.verb} with classes takes a run of task=clip, which keeps its words")
    if config.classes is None:
        raise UserError(f"classes: none given; {EXAMPLE}")
    texts = [str(text) for text in config.classes]
    if len(texts) < 2:
        raise UserError(f"classes=[{','.join(texts)}]: leaves no choice; {EXAMPLE}")
    known = Vocabulary.read(paths.find_run(config.run) / vocabulary.FILE)
    network = describing(trained.model.network)
    tokens = known.encode([_words(text, known, network.length) for text in texts], network.length)
    with torch.inference_mode():
        return texts, network.scale() * network.describe(tokens.long().to(trained.device)).float()


def _words(text: str, known: Vocabulary, most: int) -> list[str]:
    """The words of a text.

    Raises:
        UserError: it has none or too many, or no caption of the training had one of them.
    """
    words = words_of(text)
    if not words:
        raise UserError(f"classes={text!r}: has no words; {EXAMPLE}")
    for word in words:
        if word not in known.numbers:
            raise UserError(
                f"classes={text}: no caption of the training has the word {word}; {suggest(word, known.words)}"
            )
    if len(words) > most:
        raise UserError(
            f"classes={text}: has {len(words)} words; expected {most} or fewer, as many as the network reads"
        )
    return words
