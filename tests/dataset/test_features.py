"""The cache of features, on a backbone that is known in closed form."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from dlrun.dataset.augment import Augment
from dlrun.dataset.batch import inputs
from dlrun.dataset.features import Cache, FeatureLoader, image_digests
from dlrun.dataset.field import Sizes, images
from dlrun.dataset.fitted import Fitted
from dlrun.dataset.loader import Loader
from dlrun.dataset.source import labelled

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
            torch.testing.assert_close(sums(pictures["image"]), features["features"])
            assert torch.equal(pictures["target"], features["target"])
    flipped = (views[0] - views[1]).abs().sum(dim=1) > 1e-3
    assert 3 < int(flipped.sum()) < 17


def test_the_epochs_after_the_last_view_take_the_first_again() -> None:
    plain = loader(torch.arange(20), seed=5)
    views = torch.arange(3 * 20).float().view(3, 20, 1)  # view v of image n is 20 v + n
    of_features = FeatureLoader(**vars(plain), views=views)
    orders = []
    for epoch in range(8):
        found = torch.cat([batch["features"] for batch in of_features.epoch(epoch)]).flatten().long()
        assert set((found // 20).tolist()) == {epoch % 3}
        assert torch.equal(found % 20, torch.cat(plain.order(epoch)))
        orders.append((found % 20).tolist())
    assert orders[0] != orders[3], "a view that comes again has the order of its epoch"


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
