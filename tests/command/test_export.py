"""``dlrun export``: files that other programs read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import QUICK, Dlrun, only_run, result


@pytest.mark.parametrize("kind", ["state_dict", "torch_export", "onnx"])
def test_the_file_gives_the_models_logits(dlrun: Dlrun, kind: str) -> None:
    if kind == "onnx":
        for module in ("onnx", "onnxruntime", "onnxscript"):
            pytest.importorskip(module, reason="comes with the extra export")
    assert dlrun("train", *QUICK, "callback.tensorboard=null", "hydra.run.dir=run").status == 0
    ended = dlrun("export", "run=run", f"format={kind}")
    assert ended.status == 0, ended.err
    folder = only_run(Path("runs/export"))
    found = result(folder)
    assert found["difference"] < 1e-5
    images = torch.rand(5, 1, 8, 8)
    weights = torch.load("run/checkpoints/best.pt", weights_only=True)["model"]
    if kind == "state_dict":
        plain = torch.load(folder / found["file"], weights_only=True)
        assert all(torch.equal(plain[name], value) for name, value in weights.items())
    if kind == "torch_export":
        from omegaconf import OmegaConf

        dataset = OmegaConf.load("run/config.yaml").dataset
        inputs = ((images - dataset.mean[0]) / dataset.std[0]).flatten(1)
        expected = inputs @ weights["fc.weight"].T + weights["fc.bias"]
        torch.testing.assert_close(torch.export.load(folder / found["file"]).module()(images), expected)


def test_an_unknown_format_is_refused(dlrun: Dlrun) -> None:
    ended = dlrun("export", "model=linear", "dataset=digits", "weights=a.pt", "format=tflite")
    assert ended.status == 2
    assert "format='tflite'" in ended.errors[0]
