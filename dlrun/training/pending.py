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
        self._weights: list[float | Tensor] = []

    def __len__(self) -> int:
        """The number of steps."""
        return len(self._examples)

    def add(self, means: dict[str, Tensor], examples: int, weight: float | Tensor) -> None:
        """Take in a step: its metrics, each a mean over so many examples, and what its loss weighs beside others'."""
        self._waiting.append(means)
        self._examples.append(examples)
        self._weights.append(weight)

    def fetch(self) -> dict[str, list[float]]:
        """The values of all steps, by metric."""
        if self._waiting:
            for name in self._waiting[0]:
                fetched = torch.stack([means[name] for means in self._waiting]).tolist()
                self._values.setdefault(name, []).extend(fetched)
            self._waiting.clear()
            self._weights = [float(weight) for weight in self._weights]
        return self._values

    def take(self) -> tuple[dict[str, list[float]], list[int], list[float]]:
        """The values of all steps by metric, and the examples and the weight of the loss of each; nothing is left."""
        values, examples, weights = self.fetch(), self._examples, [float(weight) for weight in self._weights]
        self._values, self._examples, self._weights = {}, [], []
        return values, examples, weights

    def state_dict(self) -> dict[str, Any]:
        """The values, the examples and the weights."""
        values = {name: list(each) for name, each in self.fetch().items()}
        return {"values": values, "examples": list(self._examples), "weights": list(self._weights)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self._values, self._waiting, self._examples = state["values"], [], state["examples"]
        self._weights = list(state.get("weights", state["examples"]))  # those of an earlier version
