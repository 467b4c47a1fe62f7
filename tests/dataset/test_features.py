"""The cache of features, on a backbone that is known in closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from torch import Tensor

from dlrun.dataset.augment import Augment
from dlrun.dataset.batch import inputs
from dlrun.dataset.features import Cache, FeatureLoader, LiveFeatureLoader, image_digests
from dlrun.dataset.field import Sizes, images
from dlrun.dataset.fitted import Fitted
from dlrun.dataset.loader import Loader
from dlrun.dataset.source import labelled
from tests.disks import disk

IMAGES = torch.randint(0, 256, (50, 1, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def sums(images: Tensor) -> Tensor:
    """The sum of each half of an image."""
    return torch.stack([images[..., :3].sum(dim=(1, 2, 3)), images[..., 3:].sum(dim=(1, 2, 3))], dim=1)


def loader(indices: Tensor, seed: int | None = None) -> Loader:
    source = Fitted.whole(labelled(IMAGES[indices], indices % 3), images(), Sizes(1, 6))
    return Loader(source, 8, torch.device("cpu"), False, 0, 3, seed=seed)


def cached(folder: Path) -> Tensor:
    (found,) = Cache(folder, sums, {"weights": "a"}).views([loader(torch.arange(50))])
    return found


def test_each_loader_gets_its_own_rows_whatever_the_order(tmp_path: Path) -> None:
    cache = Cache(tmp_path, sums, {"weights": "a"}, batch_size=7)
    parts = [torch.tensor([4, 4, 9, 1]), torch.arange(20, 50), torch.tensor([], dtype=torch.int64)]
    for _ in range(2):  # computed, then read
        found = cache.views([loader(parts[0], seed=3), *(loader(part) for part in parts[1:])])
        for features, part in zip(found, parts, strict=True):
            expected = sums(IMAGES[part].float() / 255).unsqueeze(0)
            torch.testing.assert_close(features, expected)
    assert len(list(tmp_path.glob("*.pt"))) == 1


def test_views_are_the_epochs_of_the_loader(tmp_path: Path) -> None:
    flip = Augment(flip=0.5)
    plain = loader(torch.arange(20), seed=5)
    (views,) = Cache(tmp_path, sums, {}, batch_size=8).views([plain], 2, flip)
    plain.augment = flip
    of_features = FeatureLoader(**vars(plain), views=views)
    for epoch in range(2):
        for pictures, features in zip(plain.epoch(epoch), of_features.epoch(epoch), strict=True):
            assert list(features) == ["features", "target"]
            torch.testing.assert_close(sums(pictures["image"]), features["features"])
            assert torch.equal(pictures["target"], features["target"])
    flipped = (views[0] - views[1]).abs().sum(dim=1) > 1e-3
    assert 3 < int(flipped.sum()) < 17


def test_views_begin_again_when_all_were_given(tmp_path: Path) -> None:
    plain = loader(torch.arange(20), seed=5)
    (views,) = Cache(tmp_path, sums, {}, batch_size=8).views([plain], 3, Augment(flip=0.5))
    of_features = FeatureLoader(**vars(plain), views=views)
    orders = set()
    for epoch in range(8):
        order = torch.cat(plain.order(epoch))
        features = torch.cat([batch["features"] for batch in of_features.epoch(epoch)])
        assert torch.equal(features, views[epoch % 3][order])
        assert not torch.equal(features, views[(epoch + 1) % 3][order])
        orders.add(tuple(order.tolist()))
    assert len(orders) == 8  # a view comes again in another order


def test_features_that_are_computed_live_are_those_of_each_epoch() -> None:
    plain = loader(torch.arange(20), seed=5)
    plain.augment = Augment(flip=0.5)
    live = LiveFeatureLoader(**vars(plain), backbone=sums)
    for epoch in (0, 3):
        for pictures, features in zip(plain.epoch(epoch, 1), live.epoch(epoch, 1), strict=True):
            assert list(features) == ["features", "target"]
            assert torch.equal(features["features"], sums(pictures["image"]))


def test_epochs_start_in_the_middle(tmp_path: Path) -> None:
    plain = loader(torch.arange(30), seed=5)
    of_features = FeatureLoader(**vars(plain), views=cached(tmp_path)[:, :30])
    whole, rest = list(of_features.epoch(1)), list(of_features.epoch(1, start=2))
    assert all(torch.equal(inputs(a), inputs(b)) for a, b in zip(whole[2:], rest, strict=True))


def test_digests_are_of_the_content() -> None:
    first, second = (
        image_digests(loader(torch.tensor([1, 2, 1])).source),
        image_digests(loader(torch.tensor([1])).source),
    )
    assert first[0] == first[2] == second[0] != first[1]


def test_what_killed_processes_left_is_removed_but_not_from_under_one_at_work(tmp_path: Path) -> None:
    (tmp_path / ".aaa.pt.12.tmp").touch()
    (tmp_path / ".bbb.pt.12").touch()  # as of an earlier version
    (tmp_path / ".ccc.pt.12.tmp").touch()
    with FileLock(tmp_path / "ccc.lock"):
        cached(tmp_path)
    assert [path.name for path in tmp_path.glob(".*.pt.*")] == [".ccc.pt.12.tmp"]


def test_features_that_are_there_are_read_without_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = cached(tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert torch.equal(cached(tmp_path), features)


def test_a_cache_that_takes_nothing_is_no_reason_to_lose_the_features(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with disk(1):
        full = cached(tmp_path / "full")
    assert torch.equal(cached(tmp_path / "file" / "cache"), full)
    warnings = [line for line in capfd.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 2
    assert "the features are not kept" in warnings[0]
    assert "No space left on device" in warnings[0]
    assert "Not a directory" in warnings[1]
    assert not list((tmp_path / "full").glob("*.pt"))
