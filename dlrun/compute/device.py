"""Choosing the device, in one place."""

from __future__ import annotations

import torch

from dlrun import interrupt
from dlrun.errors import UserError


def choose(name: str) -> torch.device:
    """The device called auto, cpu, cuda, cuda:N or mps; auto takes a GPU where there is one.

    Of several GPUs, the workers of a parallel sweep take one each.

    Raises:
        UserError: this machine has no such device.
    """
    if name == "auto":
        worker = interrupt.worker_number()
        if torch.cuda.is_available():
            name = "cuda" if worker is None else f"cuda:{(worker - 1) % torch.cuda.device_count()}"
        else:
            name = "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"trainer.device={name}: this machine has {torch.cuda.device_count()} CUDA devices; expected auto or cpu"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"trainer.device={name}: there is no MPS device here; expected auto or cpu")
    return device
