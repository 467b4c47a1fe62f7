"""The state of a training, put together from its parts and given back to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import nn

from dlrun import weights
from dlrun.callback.callback import Callback
from dlrun.errors import UserError
from dlrun.model.normalized import Normalized


class Stateful(Protocol):
    """A part of a training that a checkpoint holds."""

    def state_dict(self) -> dict[str, Any]:
        """All that continues it, in plain values and tensors."""

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Go on from a :meth:`state_dict`."""


def gather(parts: Mapping[str, Stateful], callbacks: Mapping[str, Callback]) -> dict[str, Any]:
    """The states of all parts by name; those of the callbacks under ``callbacks``."""
    states = {name: part.state_dict() for name, part in parts.items()}
    return {**states, "callbacks": {name: callback.state_dict() for name, callback in callbacks.items()}}


def restore(
    state: Mapping[str, Any], parts: Mapping[str, Stateful], callbacks: Mapping[str, Callback], model: Normalized
) -> None:
    """Give every part its state; what the state holds is checked before any of them is changed.

    A callback that the run did not have begins anew.

    Raises:
        UserError: a part is missing, or the weights are of another network than the model's.
    """
    missing = parts.keys() - state.keys()
    if missing:
        raise UserError(f"checkpoint: holds no {', '.join(sorted(missing))}; expected the last.pt of this run")
    weights.check_fits(model.network, state["model"], "checkpoint")
    for name, part in parts.items():
        part.load_state_dict(state[name])
    for name, callback in callbacks.items():
        if state["callbacks"].get(name):
            callback.load_state_dict(state["callbacks"][name])


def copied(network: nn.Module) -> dict[str, Any]:
    """The state dict as it is now; what is frozen need not be copied."""
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    return {name: value if name in frozen else value.clone() for name, value in network.state_dict().items()}
