"""Choosing the device, in one place."""

from __future__ import annotations

import torch

from dlrun.errors import UserError


def choose(name: str) -> torch.device:
    """The device called auto, cpu, cuda, cuda:N or mps; auto takes a GPU where there is one.

    Raises:
        UserError: this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"trainer.device={name}: this machine has {torch.cuda.device_count()} CUDA devices; expected auto or cpu"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"trainer.device={name}: there is no MPS device here; expected auto or cpu")
    return device
