"""Choosing the device, in one place."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist

from dlrun import interrupt
from dlrun.errors import UserError


def choose(name: str) -> torch.device:
    """The device called auto, cpu, cuda, cuda:N or mps; auto takes a GPU where there is one.

    Of several GPUs, the workers of a parallel sweep take one each, and so do the processes that share a run.

    Raises:
        UserError: this machine has no such device.
    """
    shares = dist.is_available() and dist.is_initialized()
    if name == "auto":
        worker = interrupt.worker_number()
        if torch.cuda.is_available():
            name = "cuda" if worker is None else f"cuda:{(worker - 1) % torch.cuda.device_count()}"
        else:
            name = "mps" if torch.backends.mps.is_available() and not shares else "cpu"
    if name == "cuda" and shares:
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"trainer.device={name}: this machine has {torch.cuda.device_count()} CUDA devices; expected auto or cpu"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"trainer.device={name}: there is no MPS device here; expected auto or cpu")
    return device
