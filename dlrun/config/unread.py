"""Overrides that nothing reads: ``dataset.root=photos`` on a dataset that has no folder would change nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dlrun.command.verbs import VERBS
from dlrun.config.difference import flat
from dlrun.config.invocation import key
from dlrun.errors import UserError

BY_REFERENCE = ("dataset.root", "dataset.on_error")
"""Keys that are read where another refers to them, as a dataset's ``source`` does, and nowhere else."""
OF_TRAINING = (
    *("trainer.epochs", "trainer.steps", "trainer.clip_norm", "trainer.ema", "trainer.patience", "trainer.monitor"),
    *("trainer.validate_every", "trainer.log_every", "trainer.compile", "trainer.sync_batch_norm", "trainer.shard"),
    "dataset.augment",
)
"""Keys that a training alone reads."""
OF_UNFREEZING = ("unfreeze.lr", "unfreeze.decay", "unfreeze.batch_norm")
OF_THE_SPLIT = ("split", "index", "class", "order")
"""How ``dlrun explain`` chooses among the images of a dataset."""


def check(typed: Sequence[str], config: DictConfig, swept: Collection[str] = ()) -> None:
    """Refuse overrides of a command line that nothing reads, given the rest of it.

    Args:
        typed: the overrides.
        config: as it was composed of them, its references not followed.
        swept: keys that have other values in the jobs of a sweep; what depends on them is not known yet.

    Raises:
        UserError: a line for each.
    """
    names = [key(text) for text in typed]
    faults = []
    for text, name in zip(typed, names, strict=True):
        for why, depends in _reasons(name, config, names):
            if depends not in swept and name not in swept:
                faults.append(f"{text}: nothing would read it, since {why}")
    if faults:
        raise UserError("\n".join(faults))


def check_fractions(keys: Collection[str], own: Collection[str]) -> None:
    """Refuse the fraction of a split that the data has itself.

    Args:
        keys: those that were typed.
        own: the data's splits, see :attr:`dlrun.dataset.data.Data.own`.

    Raises:
        UserError: a line for each.
    """
    fractions = {"val": "dataset.val_fraction", "test": "dataset.source.test_fraction"}
    faults = [
        f"{name}: nothing would read it, since the data has a {split} split of its own; expected none"
        for split, name in fractions.items()
        if name in keys and split in own
    ]
    if faults:
        raise UserError("\n".join(faults))


def _reasons(name: str, config: Any, typed: Collection[str]) -> Iterator[tuple[str, str]]:
    """Why nothing reads a key, with the key or group that this depends on."""
    verb = config.verb
    if name in BY_REFERENCE and name not in _referred(config):
        yield _no_reference(name, config), "dataset"
    if _is_of(name, OF_TRAINING) and verb in VERBS and not VERBS[verb].trains:
        yield f"dlrun {verb} trains nothing", ""
    if name == "trainer.devices" and verb in VERBS and not VERBS[verb].parallel:
        yield f"dlrun {verb} runs in one process", ""
    if name == "trainer.epochs" and "trainer.steps" not in typed and (steps := _value(config, "trainer.steps")):
        yield f"trainer.steps={steps} overrides it; expected trainer.steps=null too", "trainer.steps"
    chosen = _value(config, "dataset.classes")
    if name == "dataset.num_classes" and chosen is not None and len(chosen) != _value(config, name):
        yield "dataset.classes says how many there are", "dataset.classes"
    if name in ("dataset.mean", "dataset.std") and _value(config, "dataset.normalize") is False:
        yield "dataset.normalize=false; expected true too", "dataset.normalize"
    if name == "attack.eps" and verb == "certify":
        yield f"dlrun certify attacks with its own radius; expected eps={_value(config, name)}", ""
    if _is_of(name, OF_UNFREEZING) and _value(config, "unfreeze.epoch") is None:
        yield "the head alone trains; expected unfreeze.epoch=N too", "unfreeze.epoch"
    if _is_of(name, OF_THE_SPLIT) and verb == "explain" and _value(config, "input") is not None:
        yield f"the images are those of input={_value(config, 'input')}", "input"


def _no_reference(name: str, config: Any) -> str:
    """Why a dataset does not read one of its keys, and which key does what was meant."""
    dataset = OmegaConf.to_container(config.dataset)
    assert isinstance(dataset, dict)
    last, value = name.rpartition(".")[2], _value(config, name)
    if last in (dataset.get("source") or {}):
        return f"dataset.source.{last} has a value of its own; expected dataset.source.{last}={value}"
    return f"the dataset has no folder of images; expected dataset=image_folder {name}={value}"


def _referred(config: DictConfig) -> set[str]:
    """The keys that the values of a config refer to."""
    texts = [value for value in flat(OmegaConf.to_container(config)).values() if isinstance(value, str)]
    return {name for name in BY_REFERENCE if any(f"${{{name}}}" in text for text in texts)}


def _is_of(name: str, keys: Collection[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in keys)


def _value(config: Any, name: str) -> Any:
    return OmegaConf.select(config, name, throw_on_resolution_failure=False)
