"""Files of weights and training state: written whole or not at all, read without running any code in them."""

from __future__ import annotations

import copy
import io
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.errors import UserError
from dlrun.files import write_whole

WRAPPERS = ("model", "state_dict", "model_state_dict")
PREFIXES = ("module.", "_orig_mod.")


def save(state: dict[str, Any], path: Path, keep: Path | None = None) -> None:
    """Write a file that is never seen half-written: to a temporary one, flushed to disk, then renamed.

    Args:
        state: tensors, which are written as those of the CPU so that any machine reads them, and plain values.
        path: the file.
        keep: what the file that is there is renamed to; None replaces it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()  # straight to a full disk, torch raises something that does not say so
    torch.save(_on_cpu(state), buffer)
    write_whole(path, buffer.getbuffer(), keep)


def _on_cpu(value: Any) -> Any:
    """The same nested value with its tensors on the CPU."""
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, dict):
        moved = copy.copy(value)  # a state dict carries the versions of its layers as an attribute
        moved.update((key, _on_cpu(part)) for key, part in value.items())
        return moved
    if isinstance(value, (list, tuple)):
        return type(value)(map(_on_cpu, value))
    return value


def load(path: Path, key: str = "weights") -> dict[str, Any]:
    """Read a file of tensors and plain values, onto the CPU.

    Raises:
        UserError: no such file, or one that is damaged or holds more than tensors and plain values; ``key`` is
            the config key to name.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()  # torch.load does not look at the checksums
            if damaged is not None:
                raise UserError(f"{key}={path}: damaged: the checksum of {damaged} is wrong")
        is_safe = path.suffix == ".safetensors"
        state = _safe(path) if is_safe else torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{key}={path}: no such file") from None
    except pickle.UnpicklingError:
        raise UserError(
            f"{key}={path}: not a readable file of weights: damaged, or more than tensors and plain values"
        ) from None
    except Exception as error:  # a damaged file raises whatever the reader stumbles over
        reason = re.split(r"\n|\. ", str(error).strip() or type(error).__name__)[0][:200]
        raise UserError(f"{key}={path}: not a readable file of weights ({reason})") from None
    if not isinstance(state, dict):
        raise UserError(f"{key}={path}: holds a {type(state).__name__}; expected a state dict")
    return state


def _safe(path: Path) -> dict[str, Any]:
    """What a file in the format of safetensors holds.

    Raises:
        UserError: the package that reads it is not installed.
    """
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise UserError(f"weights={path}: needs safetensors; pip install 'dlrun[timm]'") from None
    found: dict[str, Any] = load_file(path)
    return found


def load_weights(network: nn.Module, path: Path, without: str | None = None) -> None:
    """Load a state dict into a network, also one under a common wrapper key or prefix.

    Args:
        network: takes the weights.
        path: the file.
        without: the name of a part of the network that keeps its own, whatever the file has for it.

    Raises:
        UserError: the file is not readable, or its names or shapes are not the network's.
    """
    state = load(path)
    for wrapper in WRAPPERS:
        if isinstance(state.get(wrapper), dict):
            state = state[wrapper]
            break
    for prefix in (*PREFIXES, *PREFIXES):  # a compiled model inside a parallel one has both, in either order
        if state and all(str(name).startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    if without is not None:
        state = {name: value for name, value in state.items() if not str(name).startswith(f"{without}.")}
    own = network.state_dict()
    kept = {name: value for name, value in own.items() if without is not None and name.startswith(f"{without}.")}
    if not _is_older_form(network, {**state, **kept}):
        check_fits(network, state, f"weights={path}", without)
    network.load_state_dict({**state, **kept}, strict=False)  # checked above; what torch calls missing beyond it may be


def _is_older_form(network: nn.Module, state: Mapping[Any, Any]) -> bool:
    """Whether names or shapes are others, and torch takes them all the same: a network knows its older names."""
    own = network.state_dict()
    if all(name in state and _shape(state[name]) == _shape(own[name]) for name in own) and len(own) == len(state):
        return False
    try:
        copy.deepcopy(network).load_state_dict(dict(state))
    except Exception:  # a layer's own code may stumble over a stranger's state
        return False
    return True


def check_fits(network: nn.Module, state: Mapping[str, Any], key: str, without: str | None = None) -> None:
    """Refuse a state dict that does not fit a network, which stays as it is.

    The counters of batch normalisation, ``num_batches_tracked``, may be missing: before PyTorch 1.0 there were none.

    Args:
        network: would take the state.
        state: tensors by name.
        key: what the message begins with, such as ``checkpoint``.
        without: the name of a part of the network of which the state says nothing.

    Raises:
        UserError: its names or shapes are not the network's.
    """
    own = network.state_dict()
    if without is not None:
        own = {name: value for name, value in own.items() if not name.startswith(f"{without}.")}
    missing = {name for name in own.keys() - state.keys() if name.rpartition(".")[2] != "num_batches_tracked"}
    complaints = []
    for word, names in (("missing", missing), ("unexpected", state.keys() - own.keys())):
        if names:
            complaints.append(f"{word} {_some(sorted(map(str, names)))}")
    wrong = [
        f"{name} {_shape(state[name])} for {_shape(own[name])}"
        for name in own.keys() & state.keys()
        if _shape(own[name]) != _shape(state[name])
    ]
    if wrong:
        complaints.append(f"other shapes: {_some(sorted(wrong))}")
    if complaints:
        raise UserError(f"{key}: does not fit {type(network).__name__}: {'; '.join(complaints)}")


def _shape(value: Any) -> str:
    return "x".join(map(str, value.shape)) or "scalar" if isinstance(value, Tensor) else type(value).__name__


def _some(names: list[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
