"""How well a network of images and texts tells classes that are only described to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from dlrun.callback.callback import Callback
from dlrun.dataset.batch import inputs
from dlrun.dataset.vocabulary import Tokens, words_of
from dlrun.errors import UserError
from dlrun.model.clip import Describing

if TYPE_CHECKING:
    from dlrun.training.trainer import Trainer


class ZeroShot(Callback):
    """An image is of the class whose description fits best (003_7190ac02314fafbe.txt, classification zero-shot).

    Measures ``test/zero_shot_accuracy`` on the test images; where the dataset says which show what no training image
    does, on the others, and ``test/held_out_accuracy`` on these; beside ``test/chance``, one over the classes.

    Args:
        description: of a class, whose name is put in the place of ``{}``.
    """

    metric_names = ("test/zero_shot_accuracy", "test/held_out_accuracy", "test/chance")

    def __init__(self, description: str = "a {}") -> None:
        if "{}" not in description:
            raise ValueError(f"description={description}: expected a text with {{}} for the class")
        self.description = description

    def on_phase_start(self, trainer: Trainer) -> None:
        """Refuse a network that reads no texts, and classes that have no names in the captions' words."""
        fields = trainer.data.fields
        if not isinstance(trainer.model.network, Describing) or not isinstance(fields.get("caption"), Tokens):
            raise UserError(f"callback: {type(self).__name__} takes images with captions; expected model=clip")

    @torch.no_grad()
    def measure(self, trainer: Trainer) -> dict[str, float]:
        """The shares of images whose class is described best, of the network that is tested."""
        network, caption = trainer.eval_model.network, trainer.data.fields["caption"]
        assert isinstance(network, Describing)
        assert isinstance(caption, Tokens)
        texts = [words_of(self.description.format(name)) for name in trainer.data.classes]
        described = network.describe(caption.vocabulary.encode(texts, network.length).long().to(trainer.device))
        right: dict[bool, list[bool]] = {False: [], True: []}
        for batch in trainer.data.evaluation("test").epoch():
            chosen = (trainer.eval_model(inputs(batch)) @ described.T).argmax(dim=1)
            unseen = batch.get("held_out", torch.zeros_like(batch["target"]))
            for is_right, is_unseen in zip((chosen == batch["target"]).tolist(), unseen.tolist(), strict=True):
                right[bool(is_unseen)].append(is_right)
        found = {"zero_shot_accuracy": right[False], "held_out_accuracy": right[True]}
        shares = {f"test/{name}": sum(values) / len(values) for name, values in found.items() if values}
        return {**shares, "test/chance": 1 / len(texts)}
