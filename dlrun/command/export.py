"""``dlrun export``: the model as a file for other programs, checked against the model."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from dlrun import build, console
from dlrun import weights as checkpoint
from dlrun.config.frozen import updated
from dlrun.dataset.data import input_shape, input_type
from dlrun.errors import RunError, UserError
from dlrun.files import write_whole
from dlrun.model.normalized import Normalized
from dlrun.run.folder import Run
from dlrun.task.diffusion import Diffusion
from dlrun.trained import open_trained

FILES = {"state_dict": "model.pt", "torch_export": "model.pt2", "onnx": "model.onnx"}
TOLERANCE = 1e-4  # of a logit, as a share of the largest
BATCHES = (2, 3)  # images: the batch size is free, so two of them are checked


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Export as the config says, into the run's folder; returns what goes into ``result.json``.

    Raises:
        RunError: the file gives other logits than the model.
    """
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if importlib.util.find_spec(name) is None]
    if config.format == "onnx" and missing:
        raise UserError(f"format=onnx: needs {', '.join(missing)}; pip install 'dlrun[export]'")
    config = updated(config, {"trainer.device": "cpu"})
    trained = open_trained(config, run, with_data=False)
    if config.format != "state_dict" and isinstance(trained.task, Diffusion):
        raise UserError(
            f"format={config.format}: writes networks of one input, and that of task=diffusion reads an image, a time"
            " and a class; expected format=state_dict"
        )
    config, model = trained.config, trained.model.requires_grad_(False)
    shape = input_shape(config.dataset)
    is_text = input_type(config.dataset) == torch.int64
    sizes = [(count, *shape) for count in BATCHES]
    batches = [torch.randint(config.dataset.words, size) if is_text else torch.rand(size) for size in sizes]
    path = run.path / FILES[config.format]
    write(model, batches[0], path)
    difference = max(float((found - model(batch)).abs().max()) for batch, found in read(config, path, batches))
    largest = max(float(model(batch).abs().max()) for batch in batches)
    if not difference <= TOLERANCE * max(largest, 1.0):
        raise RunError(f"{path}: its logits differ from the model's by {difference:.3g}, which is too much")
    what = "texts" if is_text else "images"
    console.say(f"{path}: logits equal to the model's to {difference:.1g}; {what} of {'x'.join(map(str, shape))}")
    return {"file": path.name, "difference": difference, "bytes": path.stat().st_size}


def write(model: Normalized, batch: Tensor, path: Path) -> None:
    """Write the model; the suffix says how. All but ``.pt`` take pixels in [0,1] in batches of any size.

    Raises:
        UserError: its calculation depends on values, and cannot be written down.
    """
    if path.suffix == ".pt":
        checkpoint.save(model.network.state_dict(), path)
        return
    free = ({0: torch.export.Dim("batch")},)
    try:
        exported = torch.export.export(model, (batch,), dynamic_shapes=free)
    except Exception as error:  # whatever a network does that depends on values, such as the lengths of texts
        name, reason = type(model.network).__name__, str(error).strip().split("\n")[0]
        raise UserError(f"format: torch.export cannot follow {name} ({reason}); expected format=state_dict") from None
    if path.suffix == ".pt2":
        buffer = io.BytesIO()
        torch.export.save(exported, buffer)
        write_whole(path, buffer.getbuffer())
    else:
        names = {"input_names": ["images"], "output_names": ["logits"]}
        program = torch.onnx.export(exported, (), **names, verbose=False)  # type: ignore[arg-type]
        assert program is not None
        write_whole(path, program.model_proto.SerializeToString())


def read(config: DictConfig, path: Path, batches: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """What the file gives for each batch, read as its user will read it."""
    if path.suffix == ".pt":
        fresh = updated(config, {"weights": str(path)})
        model: Any = build.model(fresh, build.task(config), torch.device("cpu")).eval().requires_grad_(False)
    elif path.suffix == ".pt2":
        model = torch.export.load(path).module()
    else:
        onnxruntime = importlib.import_module("onnxruntime")
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

        def model(batch: Tensor) -> Tensor:
            return torch.from_numpy(session.run(None, {"images": batch.numpy()})[0])

    return [(batch, model(batch)) for batch in batches]
