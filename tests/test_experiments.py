"""Every file of experiments/: its header is complete, it composes, its bounds are on metrics that its run writes."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object
from omegaconf import DictConfig

from dlrun import build, paths
from dlrun.callback.generated import Generated
from dlrun.command.verbs import VERBS
from dlrun.config import compose as _front  # noqa: F401  (its resolver `pick` is in the experiments)
from dlrun.config import schema
from dlrun.config.plan import job_config
from dlrun.config.targets import check_targets
from dlrun.experiment import claims as expect
from dlrun.experiment import header as experiment

SPLITS = ("train", "val", "test")
INSPECTED = ("parameters", "trainable_parameters", "multiply_adds", "receptive_field", "last_conv_receptive_field")


def composed(verb: str, *overrides: str) -> tuple[DictConfig, Any]:
    with initialize_config_dir(str(paths.configs()), version_base="1.3"):
        config = compose(verb, list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    return job_config(config), config.hydra


@pytest.mark.parametrize("name", experiment.names())
def test_an_experiment_holds_together(name: str) -> None:
    found = experiment.read(name)
    assert found.title.endswith(".")
    assert set(found.header) - {experiment.ONLY_BY_NAME} == set(experiment.FIELDS)
    assert found.header["Command"] == f"dlrun {found.verb} experiment={name}"
    assert found.header["Source"].split(",")[0].endswith(".txt")
    _, hydra = composed(found.verb, f"experiment={name}")
    swept = {key: str(values).split(",") for key, values in (hydra.sweeper.params or {}).items()}
    for point in product(*swept.values()):
        overrides = [f"{key}={value}" for key, value in zip(swept, point, strict=True)]
        config, _ = composed(found.verb, f"experiment={name}", *overrides)
        config = schema.check(config)
        check_targets(config)
        assert config.expect, "an experiment claims something"
        if found.verb == "inspect":
            expect.check_names(config.expect, INSPECTED)
        if not VERBS[found.verb].trains:
            continue
        names = [f"{split}/{metric}" for split in SPLITS for metric in build.task(config).higher_is_better]
        for node in config.callback.values():
            names += get_object(node._target_).metric_names if node is not None else ()
        expect.check_names(config.expect, names, config.get("then") or {})


def test_the_gan_on_mnist_is_drawn_after_every_epoch_that_the_slides_show() -> None:
    """It takes over what its small twin has, which trains for a shorter time."""
    assert composed("train", "experiment=gan")[0].trainer.epochs >= max(Generated().epochs) == 20
