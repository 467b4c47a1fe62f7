from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlrun import weights as checkpoint
from dlrun.errors import UserError


def network(hidden: int = 3, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, hidden), nn.BatchNorm1d(hidden), nn.Linear(hidden, 2))


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


def refusal(model: nn.Module, path: Path) -> str:
    with pytest.raises(UserError) as caught:
        checkpoint.load_weights(model, path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"weights={path}: ")
    return message


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    state = {"model": network().state_dict(), "step": 7, "rates": [0.1, 0.2], "best": None, "name": "a"}
    checkpoint.save(state, tmp_path / "last.pt")
    loaded = checkpoint.load(tmp_path / "last.pt")
    torch.testing.assert_close(loaded.pop("model"), state.pop("model"), rtol=0, atol=0)
    assert loaded == state


def test_saving_makes_the_folder(tmp_path: Path) -> None:
    checkpoint.save({"step": 1}, tmp_path / "deep" / "er" / "last.pt")
    assert checkpoint.load(tmp_path / "deep" / "er" / "last.pt") == {"step": 1}


def test_saving_replaces_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoint.save({"step": step}, tmp_path / "last.pt")
    assert checkpoint.load(tmp_path / "last.pt") == {"step": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_who_reads_the_old_file_during_a_save_reads_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save({"step": 1}, path)
    before = path.read_bytes()
    with path.open("rb") as old:
        checkpoint.save({"step": 2}, path)
        assert old.read() == before


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file over which a second save has failed midway."""

    def fail(_state: Any, stream: Any) -> None:
        stream.write(b"half of a fi")
        raise OSError("no space left on device")

    path = tmp_path / "last.pt"
    checkpoint.save({"step": 1}, path)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fail)
        with pytest.raises(OSError, match="no space"):
            checkpoint.save({"step": 2}, path)
    return path


def test_the_old_file_survives_a_save_that_fails_midway(interrupted: Path) -> None:
    assert checkpoint.load(interrupted) == {"step": 1}


def test_a_save_that_fails_leaves_no_temporary_file(interrupted: Path) -> None:
    assert list(interrupted.parent.iterdir()) == [interrupted]


def test_weights_are_loaded_into_a_network(tmp_path: Path) -> None:
    checkpoint.save(network(seed=1).state_dict(), tmp_path / "w.pt")
    model = network(seed=2)
    checkpoint.load_weights(model, tmp_path / "w.pt")
    assert_same_weights(model, network(seed=1))


@pytest.mark.parametrize("wrapper", ["model", "state_dict", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_weights_under_a_common_wrapper_and_prefix_are_found(tmp_path: Path, wrapper: str, prefix: str) -> None:
    weights = {prefix + name: value for name, value in network(seed=1).state_dict().items()}
    torch.save({wrapper: weights, "epoch": 3}, tmp_path / "w.pt")
    model = network(seed=2)
    checkpoint.load_weights(model, tmp_path / "w.pt")
    assert_same_weights(model, network(seed=1))


def normed(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    for _ in range(3):
        net(torch.randn(5, 1, 6, 6))
    return net


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("has_metadata", [True, False])
@pytest.mark.parametrize("without", [None, "0"])
def test_batch_norm_from_before_it_counted_is_loaded(
    tmp_path: Path, prefix: str, has_metadata: bool, without: str | None
) -> None:
    state = normed(seed=1).state_dict()
    kept = type(state)((prefix + name, value) for name, value in state.items() if "num_batches" not in name)
    if has_metadata:
        kept._metadata = state._metadata  # type: ignore[attr-defined]
    torch.save(kept, tmp_path / "w.pt")
    model, other = normed(seed=2), normed(seed=2)
    checkpoint.load_weights(model, tmp_path / "w.pt", without=without)
    for name, value in model.state_dict().items():
        expected = other.state_dict() if name.startswith(f"{without}.") else state
        assert "num_batches" in name or torch.equal(value, expected[name]), name


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    model, before = normed(seed=2), copy.deepcopy(normed(seed=2).state_dict())
    state = {**normed(seed=1).state_dict(), "2.weight": torch.zeros(2), "0.bias": torch.zeros(3)}
    del state["1.running_mean"]
    message = "checkpoint: does not fit Sequential: missing 1.running_mean; unexpected 2.weight; other shapes: 0.bias 3"
    with pytest.raises(UserError, match=message):
        checkpoint.check_fits(model, state, "checkpoint")
    checkpoint.check_fits(model, normed(seed=1).state_dict(), "checkpoint")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Scaled(nn.Module):
    """Weights in forms that torch has changed: a factor of weight normalisation, and a number."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.dense = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
        self.scale = nn.Parameter(torch.randn(()))
        self.head = nn.Linear(3, 2)


@pytest.mark.parametrize("without", [None, "head"])
def test_older_forms_that_torch_reads_are_read(tmp_path: Path, without: str | None) -> None:
    source, model = Scaled(1), Scaled(2)
    head = model.head.weight.detach().clone()
    state = dict(source.state_dict())
    state["scale"] = state["scale"].view(1)
    state["dense.weight_g"] = state.pop("dense.parametrizations.weight.original0")
    state["dense.weight_v"] = state.pop("dense.parametrizations.weight.original1")
    torch.save(state, tmp_path / "w.pt")
    checkpoint.load_weights(model, tmp_path / "w.pt", without)
    torch.testing.assert_close(model.dense.weight, source.dense.weight, rtol=0, atol=0)
    assert torch.equal(model.scale, source.scale)
    assert torch.equal(model.head.weight, source.head.weight if without is None else head)
    state["dense.weight_g"] = state["dense.weight_g"][:2]
    torch.save(state, tmp_path / "w.pt")
    assert "unexpected dense.weight_g" in refusal(model, tmp_path / "w.pt")


def test_missing_and_unexpected_weights_are_named(tmp_path: Path) -> None:
    state = network().state_dict()
    state["2.scale"] = state.pop("2.bias")
    torch.save(state, tmp_path / "w.pt")
    message = refusal(network(), tmp_path / "w.pt")
    assert "missing 2.bias" in message
    assert "unexpected 2.scale" in message


def test_weights_of_another_shape_are_named_with_both_shapes(tmp_path: Path) -> None:
    torch.save(network(hidden=5).state_dict(), tmp_path / "w.pt")
    assert "0.weight 5x4 for 3x4" in refusal(network(hidden=3), tmp_path / "w.pt")


def test_weights_that_are_no_tensors_are_named(tmp_path: Path) -> None:
    state: dict[str, Any] = dict(network().state_dict())
    state["0.bias"] = [1.0, 2.0, 3.0]
    torch.save(state, tmp_path / "w.pt")
    assert "0.bias list for 3" in refusal(network(), tmp_path / "w.pt")


def test_refused_weights_leave_the_network_as_it_was(tmp_path: Path) -> None:
    state = network(seed=1).state_dict()
    del state["2.bias"]
    torch.save(state, tmp_path / "w.pt")
    model = network(seed=2)
    refusal(model, tmp_path / "w.pt")
    assert_same_weights(model, network(seed=2))


@pytest.mark.parametrize("key", [0, ("a", 1)])
def test_weights_under_names_that_are_no_strings_are_refused(tmp_path: Path, key: object) -> None:
    torch.save({key: torch.zeros(3)}, tmp_path / "w.pt")
    assert "unexpected" in refusal(network(), tmp_path / "w.pt")


@pytest.mark.parametrize("state", [torch.zeros(3), [1, 2], 5])
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, state: Tensor | list[int] | int) -> None:
    torch.save(state, tmp_path / "w.pt")
    assert "expected a state dict" in refusal(network(), tmp_path / "w.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_with_code_in_it_is_refused_and_the_code_not_run(tmp_path: Path, zipped: bool) -> None:
    torch.save({"0.weight": Bomb(tmp_path / "boom")}, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    refusal(network(), tmp_path / "w.pt")
    assert not (tmp_path / "boom").exists()


def test_a_bare_pickle_with_code_in_it_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "boom"), protocol=2))
    refusal(network(), tmp_path / "w.pt")
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "w.pt"
    torch.save({"weight": torch.zeros(3)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="not a readable file of weights"):
            checkpoint.load(path)


@pytest.mark.parametrize("content", [b"", b".", b"lr: 0.1\n", b'{"a": 1}', b"\x89PNG\r\n\x1a\n", b"PK\x03\x04"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    assert "not a readable file of weights" in refusal(network(), tmp_path / "w.pt")


def test_no_message_advises_to_run_the_code_in_a_file(tmp_path: Path) -> None:
    torch.save({"0.weight": Bomb(tmp_path / "boom")}, tmp_path / "w.pt")
    assert "weights_only" not in refusal(network(), tmp_path / "w.pt")


def test_a_missing_file_is_named_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^resume=.*none\.pt: no such file$"):
        checkpoint.load(tmp_path / "none.pt", key="resume")
