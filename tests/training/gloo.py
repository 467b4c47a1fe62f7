"""Real processes that talk by gloo, forked off this one, for what needs torch.distributed itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # fully_shard needs it, and each process would import it again
import torch.distributed as dist

from tests.forks import started

LONGEST = 60.0
"""Seconds after which a process waits in vain for another."""


def in_processes(size: int, folder: Path, call: Callable[[], Any]) -> list[Any]:
    """What a call gives in each of so many processes, in plain values and tensors.

    Args:
        size: how many.
        folder: where they meet; a new one for each call.
        call: done by each of them.
    """

    def work(rank: int) -> None:
        dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=size)
        torch.save(call(), folder / f"{rank}.pt")
        dist.destroy_process_group()

    folder.mkdir()
    children = [started(partial(work, rank)) for rank in range(size)]
    for child in children:
        child.join(LONGEST)
        child.kill()  # one that still waits for another
        child.join()
    assert [child.exitcode for child in children] == [0] * size
    return [torch.load(folder / f"{rank}.pt") for rank in range(size)]
