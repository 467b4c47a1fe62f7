"""Seeding every source of randomness, in one place."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int, deterministic: bool = False) -> None:
    """Seed Python, NumPy and torch on every device.

    Args:
        seed: 0 or more.
        deterministic: allow only algorithms that repeat to the bit, also on a GPU; slower there.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if torch.are_deterministic_algorithms_enabled() != deterministic:  # it imports torch's compiler
        torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic


def random_state() -> dict[str, Any]:
    """The state of every source of randomness, in plain values and tensors."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Go on from a :func:`random_state`."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def of_step(seed: int, step: int, place: int, turn: int = 0) -> int:
    """A seed that is a function of (seed of the run, step, place of the micro-batch, turn in the step)."""
    parts = (
        (seed, 0x9E3779B97F4A7C15),
        (step, 0xBF58476D1CE4E5B9),
        (place, 0x94D049BB133111EB),
        (turn, 0xD6E8FEB86659FD93),
    )
    mixed = sum(value * prime for value, prime in parts) % 2**64
    return mixed ^ mixed >> 31


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed what torch draws on the CPU and on a device.

    ``torch.manual_seed`` does the same to every device, and takes a hundred times as long where CUDA sleeps.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


class Randomness:
    """The state of every source of randomness, as a part of a training."""

    def state_dict(self) -> dict[str, Any]:
        """See :func:`random_state`."""
        return random_state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See :func:`set_random_state`."""
        set_random_state(state)
