"""``dlrun train``: what a run leaves behind."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from tests.conftest import QUICK, Dlrun, only_run, result
from tests.forks import command

SHORT = ("dataset.batch_size=64", "trainer.epochs=2")
NAMES = ("loss", "accuracy", "nll")
"""The metrics of the training that is looked at here, whose labels are smoothed."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of LeNet with every default callback."""
    folder = tmp_path_factory.mktemp("train")
    assert command(folder, "train", *SHORT, "optimizer.lr=0.04", "name=first") == 0
    return only_run(folder / "runs" / "train" / "first")


def events(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run), size_guidance={"scalars": 0, "tensors": 0, "images": 0}).Reload()


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_the_folder_holds_what_the_design_says(run: Path) -> None:
    names = {str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()}
    event_files = [name for name in names if "events.out.tfevents." in name]
    assert sorted(str(Path(name).parent) for name in event_files) == [".", "curves/train", "curves/val"]
    assert names == {
        *event_files,
        "config.yaml",
        "result.json",
        "metrics.csv",
        "log.txt",
        "checkpoints/last.pt",
        "checkpoints/previous.pt",
        "checkpoints/best.pt",
        "figures/curves.png",
        "figures/samples.png",
        "figures/confusion_matrix.png",
        "figures/most_wrong.png",
    }
    found = result(run)
    assert found["status"] == "completed"
    assert found["seconds"] > 0
    assert set(found["metrics"]) == {f"{s}/{n}" for s in ("train", "val", "test") for n in NAMES}
    assert "test/accuracy" in (run / "log.txt").read_text()


def test_the_config_is_whole_and_resolved(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    assert "${" not in text
    config = OmegaConf.create(text)
    assert config.optimizer.lr == 0.04
    assert config.model.num_classes == config.dataset.num_classes == 10
    assert 0 < config.dataset.mean[0] < 1  # measured


def test_metrics_csv_has_a_row_for_every_epoch(run: Path) -> None:
    found = rows(run)
    assert [row["epoch"] for row in found] == ["1", "2"]
    best = result(run)["best_epoch"]
    for name in ("train/loss", "val/accuracy"):
        assert float(found[best - 1][name]) == result(run)["metrics"][name]


def test_checkpoints_load_safely_into_the_plain_network(run: Path) -> None:
    from dlrun.model.lenet import LeNet

    network = LeNet(1, 28, 10)
    for name in ("last", "best"):
        checkpoint = torch.load(run / "checkpoints" / f"{name}.pt", weights_only=True)
        network.load_state_dict(checkpoint["model"])


def test_tensorboard_has_an_entry_with_every_curve(run: Path) -> None:
    found = events(run)
    tags = set(found.Tags()["scalars"])
    per_epoch = {f"{split}/{name}" for split in ("train", "val", "test") for name in NAMES}
    per_step = {f"step/{name}" for name in ("loss", "learning_rate", "gradient_norm", "images_per_second")}
    assert tags == per_epoch | per_step | {"best/val_accuracy"}
    steps = result(run)["steps"]
    assert [event.step for event in found.Scalars("step/loss")] == list(range(1, steps + 1))
    for name in per_epoch - {f"test/{name}" for name in NAMES}:
        curve = [event.value for event in found.Scalars(name)]
        assert curve == pytest.approx([float(row[name]) for row in rows(run)], rel=1e-6)
    assert {file.name for file in run.iterdir() if file.is_dir()} == {"checkpoints", "curves", "figures"}


def test_the_charts_that_tensorboard_shows_first_have_training_and_validation_in_one(run: Path) -> None:
    all_tags = set(events(run).Tags()["scalars"])
    for split in ("train", "val"):
        entry = events(run / "curves" / split)
        assert sorted(entry.Tags()["scalars"]) == ["Epoch/accuracy", "Epoch/loss", "Epoch/nll"]
        for name in NAMES:
            found = [(event.step, event.value) for event in entry.Scalars(f"Epoch/{name}")]
            assert found == [(event.step, event.value) for event in events(run).Scalars(f"{split}/{name}")]
        assert min(all_tags | set(entry.Tags()["scalars"])) == "Epoch/accuracy"


def test_tensorboard_has_pictures_texts_graph_and_layout(run: Path) -> None:
    tags = events(run).Tags()
    assert {"samples", "confusion_matrix", "most_wrong", "curves"} <= set(tags["images"])
    assert tags["graph"]
    tensors = set(tags["tensors"])
    assert {f"pr/{digit}" for digit in range(10)} <= tensors
    assert {"config/text_summary", "custom_scalars__config__"} <= tensors


def hparams_rows(folder: Path) -> dict[str, tuple[dict[str, Any], dict[str, float]]]:
    """TensorBoard's own table of hyperparameters for a folder: run -> (hyperparameters, metrics)."""
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups

    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
    context = backend_context.Context(TBContext(logdir=str(folder), data_provider=provider))
    request_context = RequestContext()
    metadata_ = context.hparams_metadata(request_context, "")
    experiment = get_experiment.Handler(request_context, context, "", api_pb2.GetExperimentRequest()).run()
    assert metadata_
    assert len(experiment.hparam_infos) > 0
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=100,
        allowed_statuses=[0, 1, 2, 3],
        col_params=[api_pb2.ColParams(metric=info.name) for info in experiment.metric_infos],
    )
    response = list_session_groups.Handler(request_context, context, "", request).run()
    table = {}
    for group in response.session_groups:
        values = {name: getattr(value, value.WhichOneof("kind")) for name, value in group.hparams.items()}
        table[group.name] = (values, {m.name.tag: m.value for m in group.metric_values})
    return table


@pytest.mark.parametrize("levels", [0, 1, 3])
def test_tensorboards_own_table_has_hyperparameters_and_best_validation(run: Path, levels: int) -> None:
    logdir = run if levels == 0 else run.parents[levels - 1]
    ((_, (hparams, metrics)),) = hparams_rows(logdir).items()
    assert hparams["model"] == "lenet"
    assert hparams["optimizer.lr"] == 0.04
    assert hparams["dataset.batch_size"] == 64
    found = result(run)["metrics"]
    assert metrics["best/val_accuracy"] == pytest.approx(found["val/accuracy"])
    assert metrics["test/accuracy"] == pytest.approx(found["test/accuracy"])


def test_the_command_repeats_to_the_bit_and_another_seed_does_not(dlrun: Dlrun) -> None:
    def weights(name: str, *overrides: str) -> torch.Tensor:
        assert dlrun("train", *QUICK, f"hydra.run.dir={name}", *overrides).status == 0
        state = torch.load(Path(name) / "checkpoints" / "last.pt", weights_only=True)["model"]
        return nn.utils.parameters_to_vector(state.values())

    first = weights("a")
    assert torch.equal(first, weights("b"))
    assert not torch.equal(first, weights("c", "seed=1"))


def test_augmentation_ema_and_every_other_option_together(dlrun: Dlrun) -> None:
    ended = dlrun(
        "train",
        *QUICK,
        "dataset.augment={crop: 1, flip: 0.5, rotate: 5, translate: 0.1, scale: 0.1, erase: 0.3, mixup: 1, cutmix: 1}",
        "trainer.ema=0.9",
        "trainer.clip_norm=1",
        "trainer.replicas=2",
        "trainer.channels_last=true",
        "trainer.deterministic=true",
        "trainer.patience=5",
        "trainer.limit_batches=4",
        "dataset.memory_budget=0",
        "scheduler=one_cycle",
        "loss.label_smoothing=0.1",
    )
    assert ended.status == 0, ended.err
    assert result(only_run(Path("runs")))["steps"] == 8  # of two epochs


@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "mse", "hinge", "kl"])
def test_every_loss_learns(dlrun: Dlrun, loss: str) -> None:
    ended = dlrun("train", *QUICK, f"loss={loss}", "trainer.epochs=4", "optimizer=adam", "optimizer.lr=0.01")
    assert ended.status == 0, ended.err
    assert result(only_run(Path("runs")))["metrics"]["test/accuracy"] > 0.85


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "radam", "rmsprop"])
def test_every_optimizer_learns(dlrun: Dlrun, optimizer: str) -> None:
    ended = dlrun("train", *QUICK, f"optimizer={optimizer}", "optimizer.lr=0.02", "scheduler=constant")
    assert ended.status == 0, ended.err
    assert result(only_run(Path("runs")))["metrics"]["test/accuracy"] > 0.8


def test_the_real_mnist_is_read_bit_for_bit(real_data: str) -> None:
    from dlrun.dataset.source import TensorSource, classes
    from dlrun.dataset.torchvision_source import load

    splits = load("torchvision.datasets.MNIST", real_data)
    assert (len(splits.train), len(splits.test)) == (60_000, 10_000)
    assert classes(splits.train)[:5].tolist() == [5, 0, 4, 1, 9]
    assert splits.classes == [str(digit) for digit in range(10)]
    assert isinstance(splits.train, TensorSource)
    mean = splits.train.tensors["image"][:2000].float().mean().item() / 255
    assert mean == pytest.approx(0.1307, abs=0.002)
