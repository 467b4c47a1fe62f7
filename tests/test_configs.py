"""Every YAML file under configs/ composes, its targets import, its arguments bind."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ReadonlyConfigError

from dlrun import paths
from dlrun.command.verbs import VERBS
from dlrun.config import compose, schema, shipped
from dlrun.config.frozen import updated
from dlrun.config.plan import job_config
from dlrun.config.section import MAY_CHANGE, Section, marked
from dlrun.config.targets import check_targets, targets
from dlrun.dataset.options import DatasetOptions
from dlrun.training.options import TrainerOptions

CHOICES = sorted(
    (file.parent.name, file.stem)
    for file in paths.configs().glob("*/*.yaml")
    if not file.name.startswith("_") and file.parent.name not in ("experiment", "hydra")
)


def composed(verb: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(paths.configs()), version_base="1.3"):
        config = hydra_compose(verb, list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    return job_config(config)


def verb_of(group: str) -> str:
    """A verb that has the group: train if it does."""
    having = [verb for verb in shipped.verbs() if f" {group}: " in (paths.configs() / f"{verb}.yaml").read_text()]
    return "train" if "train" in having else having[0]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes_and_its_arguments_bind(group: str, choice: str) -> None:
    verb = verb_of(group)
    needed = [] if verb in ("train", "lesson") else ["model=lenet", "dataset=digits"]
    needed += ["task=adversarial"] if (verb, group) == ("train", "attack") else []
    config = composed(verb, *needed, f"{group}={choice}")
    config = schema.check(config)
    check_targets(config)
    # What a target requires is given: by the config, or by build.py.
    given_later = {"params", "loss", "num_classes"}
    for key, node in targets(config):
        if node.get("_partial_"):  # the rest is given when it is called
            continue
        for name, parameter in inspect.signature(get_object(node._target_)).parameters.items():
            required = parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            given = name in node or name in given_later or node.get("_partial_")
            assert given or not required, f"{key}.{name}"


@pytest.mark.parametrize("verb", shipped.verbs())
def test_every_top_level_key_of_a_verb_has_a_line_of_help(verb: str) -> None:
    from dlrun.config import help

    text = help.verb(verb, [])
    config = OmegaConf.load(paths.configs() / f"{verb}.yaml")
    for key in set(map(str, config)) - {"defaults", "verb", "hydra"}:
        assert f"\n  {key} " in text
    assert help.purpose(verb).endswith(".")


@pytest.mark.parametrize(("group", "section"), [("trainer", TrainerOptions), ("dataset", DatasetOptions)])
def test_every_key_of_a_section_is_explained_where_its_default_stands(group: str, section: type[Section]) -> None:
    name = "default" if group == "trainer" else "_base"
    explained = set(OmegaConf.load(paths.configs() / group / f"{name}.yaml"))
    required = {key for key, field in section.model_fields.items() if field.is_required()}
    assert required <= explained <= set(section.model_fields)


def test_every_verb_is_in_the_table() -> None:
    assert sorted(VERBS) == shipped.verbs()


def test_a_checked_config_is_read_only_and_an_update_makes_a_new_one() -> None:
    config, invocation = compose.compose("train", ["dataset=image_folder", "model=mlp", "attack=null"])
    assert invocation.choices["model"] == "mlp"
    assert invocation.choices["dataset"] == "image_folder"
    assert invocation.keys == ("dataset", "model", "attack")
    with pytest.raises(ReadonlyConfigError):
        config.dataset.num_classes = 3
    made = updated(config, {"dataset.num_classes": 3, "dataset.mean": [0.5], "weights": "w.pt"})
    assert made.model.num_classes == 3  # a reference
    assert made.dataset.mean == [0.5]
    assert config.dataset.num_classes is None
    assert config.model.num_classes is None
    with pytest.raises(ReadonlyConfigError):
        made.weights = None
    assert "${hydra:" not in OmegaConf.to_yaml(config)  # it means the same without Hydra


def test_a_check_leaves_the_config_that_it_is_given() -> None:
    config = composed("train", "task=adversarial", "attack=pgd", "attack.eps=8/255", "dataset.classes=[1,3]")
    checked = schema.check(config)
    assert checked.attack.eps == 8 / 255
    assert checked.dataset.num_classes == 2
    assert config.attack.eps == "8/255"
    assert config.dataset.num_classes == 10


def test_keys_that_may_change_on_a_run_that_goes_on_are_marked() -> None:
    assert set(marked(VERBS["train"].schema, MAY_CHANGE)) == {
        *("name", "trust", "sweep", "logger", "callback", "run", "weights", "expect"),
        *("trainer.epochs", "trainer.steps", "trainer.patience", "trainer.device", "trainer.devices", "trainer.shard"),
        *("dataset.root", "dataset.source.root", "dataset.workers", "dataset.memory_budget", "trainer.log_every"),
    }
    assert "cache" in set(marked(VERBS["finetune"].schema, MAY_CHANGE))


def test_no_logger_is_none() -> None:
    assert not compose.compose("train", ["logger=null"])[0].get("logger")


def test_sizes_are_said_once_and_followed_everywhere() -> None:
    config = composed("train", "dataset=cifar100", "dataset.image_size=40", "dataset.channels=1")
    assert OmegaConf.to_container(config.model, resolve=True) == {
        "_target_": "dlrun.model.lenet.LeNet",
        "channels": 1,
        "image_size": 40,
        "num_classes": 100,
        "activation": "relu",
        "dropout": 0.0,
    }


@pytest.mark.parametrize(
    ("overrides", "smoothing"),
    [((), 0.1), (("recipe=null",), 0.0), (("model=mlp",), 0.0), (("loss=cross_entropy", "loss.label_smoothing=0"), 0)],
)
def test_a_recipe_is_taken_where_its_model_dataset_and_loss_are_chosen(
    overrides: tuple[str, ...], smoothing: float
) -> None:
    assert compose.compose("train", overrides)[0].loss.label_smoothing == smoothing


def test_a_recipe_of_ones_own_is_taken_and_a_command_line_stands_above_it(tmp_path: Path) -> None:
    file = tmp_path / "recipe" / "mlp_moons_hinge.yaml"
    file.parent.mkdir()
    file.write_text("# @package _global_\noptimizer:\n  lr: 0.3\ntrainer:\n  epochs: 4\n")
    chosen = ["model=mlp", "dataset=moons", "loss=hinge", "trainer.epochs=5"]
    config = compose.compose("train", chosen, str(tmp_path))[0]
    assert (config.optimizer.lr, config.trainer.epochs) == (0.3, 5)
