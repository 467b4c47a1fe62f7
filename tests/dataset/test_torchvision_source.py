"""Files that stand where torchvision's datasets are looked for, and are something else. No network in any of them."""

from __future__ import annotations

import hashlib
import os
import pickle
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

from dlrun.dataset.source import classes
from dlrun.dataset.torchvision_source import load
from dlrun.errors import UserError
from tests.conftest import Dlrun, Ended


class Bomb:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("boom",)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", fail)


def plant(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def train(dlrun: Dlrun, dataset: str) -> Ended:
    return dlrun("train", "model=linear", f"dataset={dataset}", "dataset.root=here")


def assert_refused(ended: Ended) -> None:
    assert not Path("boom").exists()
    assert ended.status == 2
    assert len(ended.errors) == 1
    assert ended.errors[0].startswith("dlrun: dataset.root=here: ")
    assert "weights_only" not in ended.err + ended.out
    assert "Traceback" not in ended.err + ended.out


def zipped(path: Path) -> None:
    torch.save((Bomb(), Bomb()), path)


def unzipped(path: Path) -> None:
    torch.save((Bomb(), Bomb()), path, _use_new_zipfile_serialization=False)


def bare(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb(), protocol=2))


@pytest.mark.parametrize("write", [zipped, unzipped, bare])
@pytest.mark.parametrize(("dataset", "name"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_code_in_a_cached_tensor_file_is_not_run(
    dlrun: Dlrun, dataset: str, name: str, write: Callable[[Path], None]
) -> None:
    for file in ("training.pt", "test.pt"):
        path = Path("here") / name / "processed" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    assert_refused(train(dlrun, dataset))


def test_the_bomb_would_go_off(dlrun: Dlrun) -> None:
    pickle.loads(pickle.dumps(Bomb()))
    assert Path("boom").is_dir()


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_code_in_the_pickles_of_cifar_is_not_run(dlrun: Dlrun, dataset: str) -> None:
    folder = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}[dataset]
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta", "train", "test", "meta"]
    for name in names:
        plant(Path("here") / folder / name, pickle.dumps(Bomb()))
    for archive in ("cifar-10-python.tar.gz", "cifar-100-python.tar.gz"):
        plant(Path("here") / archive, pickle.dumps(Bomb()))
    assert_refused(train(dlrun, dataset))


def test_code_in_the_class_names_of_sound_batches_is_not_run(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = pickle.dumps({"data": np.zeros((10, 3072), np.uint8), "labels": list(range(10))})
    listed = [["data_batch_1", hashlib.md5(batch).hexdigest()]]
    monkeypatch.setattr(CIFAR10, "train_list", listed)
    monkeypatch.setattr(CIFAR10, "test_list", listed)
    plant(Path("here/cifar-10-batches-py/data_batch_1"), batch)
    plant(Path("here/cifar-10-batches-py/batches.meta"), pickle.dumps(Bomb()))
    assert_refused(train(dlrun, "cifar10"))


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x03", b"\0\0\x08\x01\0\0\0\x05abc", b"\xff" * 40])
def test_damaged_files_of_mnist_are_refused(dlrun: Dlrun, content: bytes) -> None:
    for split in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            plant(Path("here/MNIST/raw") / f"{split}-{kind}-ubyte", content)
    assert_refused(train(dlrun, "mnist"))


@pytest.mark.parametrize("name", ["torchvision.datasets.MNISTT", "os.popen", "mine.Images", "__all__"])
def test_only_datasets_of_torchvision_are_taken(name: str) -> None:
    with pytest.raises(
        UserError, match=f"^dataset.source.dataset={name}: no such dataset; .*choose from CIFAR10, CIFAR100"
    ):
        load(name, "here")


def test_the_real_mnist_is_read(real_data: str) -> None:
    splits = load("torchvision.datasets.MNIST", real_data)
    assert (len(splits.train), len(splits.test)) == (60_000, 10_000)
    assert classes(splits.test)[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert splits.classes == [str(digit) for digit in range(10)]
