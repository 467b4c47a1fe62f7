"""What must hold on a GPU; skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import Dlrun, only_run, result

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


def test_every_verb_works_on_the_gpu_and_says_what_the_cpu_says(dlrun: Dlrun) -> None:
    assert dlrun("train", *SMALL, "trainer.epochs=4", "hydra.run.dir=run").status == 0
    found = {}
    for device in ("cpu", "cuda"):
        ended = dlrun("evaluate", "run=run", f"trainer.device={device}", f"hydra.run.dir=evaluate-{device}")
        assert ended.status == 0, ended.err
        found[device] = result(Path(f"evaluate-{device}"))["metrics"]["test/loss"]
    assert found["cuda"] == pytest.approx(found["cpu"], abs=1e-3)
    for verb, *more in (
        ("attack", "attack=pgd", "limit=64"),
        ("explain", "explainer=grad_cam", "limit=4"),
        ("visualize",),
    ):
        ended = dlrun(verb, "run=run", *more)
        assert ended.status == 0, (verb, ended.err)
