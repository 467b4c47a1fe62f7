"""What the steps gave that nobody has looked at yet."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Pending:
    """The metrics of some steps, left on the device until they are fetched: a GPU does not wait for each step.

    They are part of a checkpoint, so that saving a run does not change when it is looked at.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}
        self._waiting: list[dict[str, Tensor]] = []
        self._examples: list[int] = []

    def __len__(self) -> int:
        """The number of steps."""
        return len(self._examples)

    def add(self, means: dict[str, Tensor], examples: int) -> None:
        """Take in a step: its metrics, each a mean over so many examples."""
        self._waiting.append(means)
        self._examples.append(examples)

    def fetch(self) -> dict[str, list[float]]:
        """The values of all steps, by metric."""
        if self._waiting:
            for name in self._waiting[0]:
                fetched = torch.stack([means[name] for means in self._waiting]).tolist()
                self._values.setdefault(name, []).extend(fetched)
            self._waiting.clear()
        return self._values

    def take(self) -> tuple[dict[str, list[float]], list[int]]:
        """The values of all steps by metric, and the examples of each; nothing is left."""
        values, examples = self.fetch(), self._examples
        self._values, self._examples = {}, []
        return values, examples

    def state_dict(self) -> dict[str, Any]:
        """The values and the examples."""
        return {"values": {name: list(each) for name, each in self.fetch().items()}, "examples": list(self._examples)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self._values, self._waiting, self._examples = state["values"], [], state["examples"]
