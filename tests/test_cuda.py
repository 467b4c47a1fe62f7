"""What must hold on a GPU; skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from dlrun import paths
from dlrun.loss.cross_entropy import cross_entropy
from tests.conftest import Dlrun, only_run, result
from tests.test_tasks import COMMON, TASKS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
SMALL = (
    "model=cnn",
    "model.widths=[8,8]",
    "dataset.image_size=12",
    "dataset.augment.flip=0.5",
    "trainer.device=cuda",
    "callback.tensorboard.images=0",
    "callback.tensorboard.graph=false",
)
ATTACKS = ("fgsm", "pgd", "apgd", "square", "auto")
EXPLAINERS = [file.stem for file in (paths.configs() / "explainer").glob("[a-z]*.yaml") if file.stem != "attention"]
READERS = (
    *(("attack", f"attack={name}", "attack.eps=0.05", "limit=16") for name in ATTACKS),
    *(("explain", f"explainer={name}", "limit=2") for name in EXPLAINERS),
    *(("visualize", f"visualizer={name}") for name in ("activation_maximization", "feature_maps", "filters")),
    ("visualize", "visualizer.fourier=true", "visualizer.blur=0", "visualizer.frames=3"),
    ("inspect",),
    ("export",),
    ("replay",),
)
"""What is done with a trained network."""
EXACT = (*SMALL, "trainer.deterministic=true", "trainer.precision=fp32")


def weights(run: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(f"{run}/checkpoints/last.pt", weights_only=True)["model"]
    assert all(value.device.type == "cpu" for value in found.values())  # so that any machine opens it
    return found


def test_a_run_that_goes_on_has_the_weights_of_one_that_never_stopped(dlrun: Dlrun) -> None:
    common = (*EXACT, "scheduler=constant", "trainer.ema=0.9")
    assert dlrun("train", *common, "trainer.epochs=3", "hydra.run.dir=whole").status == 0
    assert dlrun("train", *common, "trainer.epochs=1", "hydra.run.dir=parts").status == 0
    assert dlrun("train", "run=parts", "trainer.epochs=3").status == 0
    whole, parts = weights("whole"), weights("parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert dlrun("replay", "run=whole").status == 0


@pytest.fixture
def nccl(tmp_path: Path) -> Iterator[None]:
    """A process group of this process alone, as :mod:`dlrun.run.processes` makes it of several."""
    dist.init_process_group("cpu:gloo,cuda:nccl", f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_a_run_over_nccl_has_the_weights_of_one_without_and_goes_on_exactly(
    dlrun: Dlrun, request: pytest.FixtureRequest
) -> None:
    common = (*EXACT, "trainer.replicas=4", "trainer.sync_batch_norm=false")
    assert dlrun("train", *common, "trainer.epochs=3", "hydra.run.dir=alone").status == 0
    request.getfixturevalue("nccl")
    assert dlrun("train", *common, "trainer.epochs=3", "hydra.run.dir=whole").status == 0
    assert dlrun("train", *common, "trainer.epochs=1", "hydra.run.dir=parts").status == 0
    assert dlrun("train", "run=parts", "trainer.epochs=3").status == 0
    alone = weights("alone")
    for run in ("whole", "parts"):
        assert all(torch.equal(value, weights(run)[name]) for name, value in alone.items()), run


def test_a_network_in_parts_over_nccl_trains_like_one_in_one_piece_and_goes_on_as_such(
    dlrun: Dlrun, request: pytest.FixtureRequest
) -> None:
    common = (*EXACT, "trainer.ema=0.9", "trainer.clip_norm=1", "scheduler=constant")
    assert dlrun("train", *common, "trainer.epochs=3", "hydra.run.dir=alone").status == 0
    request.getfixturevalue("nccl")
    assert dlrun("train", *common, "trainer.shard=true", "trainer.epochs=2", "hydra.run.dir=parts").status == 0
    assert dlrun("train", "run=parts", "trainer.shard=false", "trainer.epochs=3").status == 0
    alone, parts = weights("alone"), weights("parts")
    assert alone.keys() == parts.keys()
    for name, value in alone.items():
        assert torch.allclose(value, parts[name], atol=1e-4), name


def test_streamed_batches_give_the_weights_of_those_in_memory(dlrun: Dlrun) -> None:
    common = (*EXACT, "trainer.epochs=2")
    assert dlrun("train", *common, "hydra.run.dir=memory").status == 0
    assert dlrun("train", *common, "dataset.memory_budget=0", "dataset.workers=2", "hydra.run.dir=stream").status == 0
    memory, stream = weights("memory"), weights("stream")
    for name, value in memory.items():
        assert torch.allclose(value, stream[name], atol=1e-3), name


def test_a_linear_model_ends_where_it_ends_on_the_cpu(dlrun: Dlrun) -> None:
    common = ("model=linear", "dataset.image_size=8", "trainer.epochs=3", "trainer.precision=fp32")
    for device in ("cpu", "cuda"):
        assert dlrun("train", *common, f"trainer.device={device}", f"hydra.run.dir={device}").status == 0
    cpu, cuda = weights("cpu"), weights("cuda")
    for name, value in cpu.items():
        assert torch.allclose(value, cuda[name], atol=1e-3), name
    assert dlrun("certify", "run=cuda", "limit=8").status == 0


@pytest.mark.parametrize("option", ["precision=bf16", "precision=fp16", "compile=true", "channels_last=true"])
def test_every_way_to_be_faster_learns(dlrun: Dlrun, option: str) -> None:
    ended = dlrun("train", *SMALL, "trainer.epochs=8", f"trainer.{option}")
    assert ended.status == 0, ended.err
    assert result(only_run(Path("runs/train")))["metrics"]["test/accuracy"] > 0.8


def test_a_quick_look_at_a_training_without_validation(dlrun: Dlrun) -> None:
    ended = dlrun("train", *SMALL, "trainer.epochs=1", "trainer.limit_batches=2", "dataset.val_fraction=0")
    assert ended.status == 0, ended.err


def test_every_verb_works_on_the_gpu_and_says_what_the_cpu_says(dlrun: Dlrun) -> None:
    assert dlrun("train", *EXACT, "trainer.epochs=4", "hydra.run.dir=run").status == 0
    found = {}
    for device in ("cpu", "cuda"):
        ended = dlrun("evaluate", "run=run", f"trainer.device={device}", f"hydra.run.dir=evaluate-{device}")
        assert ended.status == 0, ended.err
        found[device] = result(Path(f"evaluate-{device}"))["metrics"]["test/loss"]
    assert found["cuda"] == pytest.approx(found["cpu"], abs=1e-3)
    for verb, *more in READERS:
        ended = dlrun(verb, "run=run", *more)
        assert ended.status == 0, (verb, more, ended.err)


def test_cross_entropy_of_pixels_repeats_to_the_bit_and_is_that_of_the_cpu() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, masks = torch.randn(3, 5, 8, 8, generator=generator), torch.randint(5, (3, 8, 8), generator=generator)
    torch.use_deterministic_algorithms(True)
    try:
        for more in ({}, {"weight": [1.0, 2.0, 3.0, 4.0, 5.0]}, {"label_smoothing": 0.1}):
            wanted = cross_entropy(**more)(logits, masks)
            found = cross_entropy(**more).cuda()(logits.cuda(), masks.cuda())
            assert float(found) == pytest.approx(float(wanted), abs=1e-5)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("model", "verb"), [("vit", ("explain", "explainer=attention")), ("mlp", ("certify",))])
def test_what_needs_a_certain_network_works_on_the_gpu(dlrun: Dlrun, model: str, verb: tuple[str, ...]) -> None:
    common = ("dataset.image_size=8", "trainer.epochs=1", "trainer.device=cuda", "hydra.run.dir=run")
    ended = dlrun("train", f"model={model}", *common)  # the graph for TensorBoard too
    assert ended.status == 0, ended.err
    assert "no graph" not in ended.err
    ended = dlrun(*verb, "run=run", "limit=4")
    assert ended.status == 0, ended.err


@pytest.mark.parametrize("task", TASKS)
def test_every_task_goes_on_exactly_and_is_evaluated(dlrun: Dlrun, task: str) -> None:
    exact = ("trainer.device=cuda", "trainer.deterministic=true", "trainer.precision=fp32")
    words = ("train", f"task={task}", *COMMON, *TASKS[task], *exact)
    for ended in (
        dlrun(*words, "hydra.run.dir=whole"),
        dlrun(*words, "trainer.epochs=1", "scheduler=constant", "hydra.run.dir=parts"),
        dlrun("train", "run=parts", "trainer.epochs=2"),
        dlrun(*words, "scheduler=constant", "hydra.run.dir=straight"),
        dlrun("evaluate", "run=whole"),
        dlrun("visualize", "run=whole", "visualizer=samples")
        if task in ("gan", "diffusion")
        else dlrun("inspect", "run=whole"),
    ):
        assert ended.status == 0, ended.err
    parts, straight = weights("parts"), weights("straight")
    assert all(torch.equal(value, straight[name]) for name, value in parts.items())
