"""``dlrun finetune``: only the head trains, features are computed once, and the run is a run like any other."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import models

from dlrun.config import saved
from tests.conftest import Dlrun, Ended, only_run, result
from tests.dataset.test_features import cached
from tests.forks import started

QUIET = ("callback.tensorboard=null", "callback.curves=null", "dataset.workers=0", "trainer.epochs=3")


def photos(root: Path, classes: tuple[str, ...] = ("zebra", "áñø"), count: int = 12, side: int = 40) -> Path:
    """Class folders of pictures: noise of another colour for each class."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 128, (side, side + index, 3), dtype=np.uint8)
            pixels[..., number % 3] += 100
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights of a small network, with the head for ImageNet."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "shufflenet.pth"
    network = models.shufflenet_v2_x0_5()
    for _ in range(20):  # gives batch normalisation its averages
        network(torch.rand(8, 3, 32, 32))
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def finetune(dlrun: Dlrun, weights: Path, tmp_path: Path) -> Dlrun:
    """Fine-tune that network on coloured noise."""
    photos(tmp_path / "photos")
    fixed = ("dataset.root=photos", "model.backbone=shufflenet_v2_x0_5", f"weights={weights}", "dataset.image_size=32")

    def run(*overrides: str) -> Ended:
        return dlrun("finetune", *fixed, "dataset.batch_size=8", *QUIET, *overrides)

    return run


def state(run: str | Path, name: str = "best") -> dict[str, Tensor]:
    found: dict[str, Tensor] = torch.load(Path(run) / "checkpoints" / f"{name}.pt", weights_only=True)["model"]
    return found


def caches(folder: str = "runs/.features") -> list[Path]:
    return sorted(Path(folder).glob("*.pt"))


def test_only_the_head_trains_and_the_backbone_stays_to_the_bit(finetune: Dlrun, weights: Path) -> None:
    more = ("trainer.monitor=train/accuracy", "callback.tensorboard={_target_: dlrun.callback.tensorboard.TensorBoard}")
    ended = finetune("hydra.run.dir=run", "trainer.epochs=30", "optimizer.lr=1", *more)
    assert ended.status == 0, ended.err
    before = torch.load(weights, weights_only=True)
    for name in ("best", "last"):
        after = state("run", name)
        assert after.keys() == before.keys()  # torchvision's own names
        for key in before:
            if not key.startswith("fc."):
                assert torch.equal(before[key], after[key]), key
        assert after["fc.weight"].shape == (2, 1024)
        models.shufflenet_v2_x0_5(num_classes=2).load_state_dict(after)
    found = result(Path("run"))
    assert found["trainable"] == 1024 * 2 + 2
    assert found["metrics"]["train/accuracy"] == 1
    assert found["classes"] == ["zebra", "áñø"]
    assert "zebra" in Path("run/00000/features/metadata.tsv").read_text()


def test_the_course_counts_20490_parameters() -> None:
    from dlrun.model.finetuned import OnFeatures, head_name, load
    from dlrun.model.normalized import Normalized

    model = Normalized(load("resnet50", 224, 10), None, None)
    OnFeatures(model, head_name(model.network))
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in trainable) == 20_490


def test_evaluate_gives_what_the_features_gave(finetune: Dlrun, dlrun: Dlrun) -> None:
    # In bf16 the features are rounded in other places than in the whole network.
    assert finetune("hydra.run.dir=run", "trainer.precision=fp32").status == 0
    for name in ("mean", "image_size", "resize_size"):
        assert f"{name}: null" not in Path("run/config.yaml").read_text()
    assert dlrun("evaluate", "run=run").status == 0
    metrics = result(only_run(Path("runs/evaluate")))["metrics"]
    assert metrics["test/loss"] == pytest.approx(result(Path("run"))["metrics"]["test/loss"], rel=1e-4)
    assert metrics["test/accuracy"] == result(Path("run"))["metrics"]["test/accuracy"]


def test_a_second_run_computes_no_features_and_ends_alike(finetune: Dlrun) -> None:
    first, second = finetune("hydra.run.dir=first"), finetune("hydra.run.dir=second")
    assert "computing features" in first.out
    assert "computing features" not in second.out
    assert "features of 24 images" in second.out
    once, again = state("first"), state("second")
    assert all(torch.equal(value, again[key]) for key, value in once.items())
    other = finetune("hydra.run.dir=third", "seed=1", "dataset.val_fraction=0.3", "optimizer.lr=0.1")
    assert "computing features" not in other.out  # the same images, in other splits
    assert len(caches()) == 1


def test_a_damaged_or_foreign_cache_is_computed_again(finetune: Dlrun) -> None:
    finetune("hydra.run.dir=first")
    (path,) = caches()
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[len(damaged) // 2] ^= 1
    foreign = {"key": "other", "features": torch.zeros(1, 24, 1024)}
    for number in range(3):
        if number == 0:
            path.write_bytes(damaged)
        elif number == 1:
            path.write_bytes(whole[:1000])
        else:
            torch.save(foreign, path)
        ended = finetune(f"hydra.run.dir=again{number}")
        assert ended.status == 0, ended.err
        assert "warning: cache=" in ended.out
        assert "computing features" in ended.out
        features = torch.load(path, weights_only=True)["features"]
        assert torch.equal(features, torch.load(_file(whole, Path("whole.pt")), weights_only=True)["features"])
        assert torch.equal(state("first")["fc.weight"], state(f"again{number}")["fc.weight"])


def _file(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


def test_the_key_follows_content_not_names(finetune: Dlrun, weights: Path) -> None:
    finetune()
    assert len(caches()) == 1
    Path("photos").rename("moved")
    shutil.copy(weights, "renamed.pth")
    assert len(caches()) == 1
    assert "computing features" not in finetune("dataset.root=moved", "weights=renamed.pth").out
    image = Path("moved/zebra/3.png")
    pixels = np.array(Image.open(image))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(image)
    assert "computing features" in finetune("dataset.root=moved").out
    changed = torch.load("renamed.pth", weights_only=True)
    changed["conv5.1.bias"][0] += 1
    torch.save(changed, "renamed.pth")
    assert "computing features" in finetune("dataset.root=moved", "weights=renamed.pth").out
    assert "computing features" in finetune("dataset.root=moved", "dataset.mean=[0.5,0.5,0.5]").out
    assert "computing features" in finetune("dataset.root=moved", "dataset.resize_size=36").out
    assert len(caches()) == 5


def test_kept_features_equal_those_of_every_epoch_anew(finetune: Dlrun) -> None:
    assert finetune("hydra.run.dir=kept").status == 0
    ended = finetune("hydra.run.dir=live", "views=0", "cache=none")
    assert ended.status == 0, ended.err
    assert not Path("none").exists()
    kept, live = state("kept"), state("live")
    torch.testing.assert_close(kept["fc.weight"], live["fc.weight"], rtol=1e-4, atol=1e-5)
    for name in ("val/accuracy", "test/accuracy"):
        assert result(Path("kept"))["metrics"][name] == result(Path("live"))["metrics"][name]


def test_augmented_views_are_kept_too_and_are_the_epochs_one_after_another(finetune: Dlrun) -> None:
    # All images in one batch, which is what they are augmented by.
    batch = ("dataset.batch_size=32", "optimizer.lr=0.1")
    flip = ("dataset.augment.flip=0.5", "dataset.augment.crop=4", *batch)
    assert finetune("hydra.run.dir=kept", *flip, "views=3").status == 0
    assert finetune("hydra.run.dir=live", *flip, "views=0").status == 0
    kept, live = state("kept", "last")["fc.weight"], state("live", "last")["fc.weight"]
    torch.testing.assert_close(kept, live, rtol=1e-4, atol=1e-5)
    assert finetune("hydra.run.dir=once", *flip, "views=1").status == 0
    assert not torch.allclose(kept, state("once", "last")["fc.weight"], rtol=1e-3, atol=1e-4)
    sizes = sorted(tuple(torch.load(path, weights_only=True)["features"].shape) for path in caches())
    assert sizes == [(1, 7, 1024), (1, 17, 1024), (3, 17, 1024)]
    views = max((torch.load(path, weights_only=True)["features"] for path in caches()), key=len)
    assert not torch.allclose(views[0], views[1])
    mixed = finetune("dataset.augment.mixup=1")
    assert mixed.status == 2
    assert mixed.errors == [
        "dlrun: dataset.augment: features of images mixed by mixup or cutmix cannot be kept; expected views=0"
    ]


def test_unfreezing_trains_the_whole_network_with_batch_norm_as_it_was(finetune: Dlrun, weights: Path) -> None:
    ended = finetune("hydra.run.dir=run", "unfreeze.epoch=2", "trainer.epochs=4")
    assert ended.status == 0, ended.err
    before, after = torch.load(weights, weights_only=True), state("run", "last")
    assert not torch.equal(before["conv1.0.weight"], after["conv1.0.weight"])
    layers = [key.removesuffix(".running_mean") for key in before if key.endswith("running_mean")]
    norms = [key for key in before if key.rpartition(".")[0] in layers]
    assert len(norms) == 5 * 56
    assert all(torch.equal(before[key], after[key]) for key in norms)
    rows = Path("run/metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2", "3", "4"]
    assert (
        finetune("hydra.run.dir=norms", "unfreeze.epoch=0", "unfreeze.batch_norm=true", "dataset.batch_size=6").status
        == 0
    )
    after = state("norms", "last")
    assert not any(torch.equal(before[key], after[key]) for key in norms if "running_mean" in key)


def test_learning_rates_fall_from_the_head_down() -> None:
    from dlrun.model.finetuned import rate_groups

    groups = rate_groups(models.resnet18(), lr=1.0, share=0.1, decay=0.5)
    rates = [group["lr"] for group in groups]
    # conv1, bn1, layer1 ... layer4, fc
    assert rates == pytest.approx([0.1 / 32, 0.1 / 16, 0.1 / 8, 0.1 / 4, 0.1 / 2, 0.1, 1.0])
    assert sum(p.numel() for group in groups for p in group["params"]) == 11_689_512
    assert len(rate_groups(models.vgg11(), 1.0, 0.1, 0.5)) > 5


@pytest.mark.parametrize("at", [("trainer.epochs=2",), ("trainer.epochs=4", "unfreeze.epoch=2")])
def test_a_run_that_continues_ends_to_the_same_bits(finetune: Dlrun, dlrun: Dlrun, at: tuple[str, ...]) -> None:
    more = (*at, "scheduler=constant", "callback.checkpoint.every_steps=1")
    assert finetune(*more, "hydra.run.dir=whole", "trainer.epochs=6").status == 0
    assert finetune(*more, "hydra.run.dir=parts").status == 0
    ended = dlrun("finetune", "run=parts", "trainer.epochs=6")
    assert ended.status == 0, ended.err
    assert "continuing after step" in ended.out
    whole, parts = state("whole", "last"), state("parts", "last")
    assert whole.keys() == parts.keys()
    assert [key for key, value in whole.items() if not torch.equal(value, parts[key])] == []
    assert Path("whole/metrics.csv").read_text() == Path("parts/metrics.csv").read_text()


def test_a_sweep_is_one_pass_of_the_backbone(finetune: Dlrun) -> None:
    ended = finetune("-m", "optimizer.lr=0.1,0.01,0.001", "trainer.epochs=1", "hydra.sweep.dir=sweep")
    assert ended.status == 0, ended.err
    assert ended.out.count("computing features") == 1
    assert len(list(Path("sweep").glob("*/checkpoints/best.pt"))) == 3


def test_a_run_of_dlrun_as_backbone(dlrun: Dlrun) -> None:
    small = ("dataset.image_size=12", "callback.tensorboard=null", "trainer.epochs=2")
    trained = dlrun("train", "model=cnn", "model.widths=[8]", "dataset.classes=[0,1,2,3,4]", *small, "hydra.run.dir=a")
    assert trained.status == 0, trained.err
    ended = dlrun(
        "finetune", "model.backbone=a", "dataset=digits", "dataset.classes=[5,6,7,8,9]", "dataset.per_class=20",
        "trainer.epochs=40", "optimizer.lr=0.02", "hydra.run.dir=b", "callback.tensorboard.images=0",
        "trainer.precision=fp32",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    before, after = state("a"), state("b")
    assert before.keys() == after.keys()
    same = [key for key in before if torch.equal(before[key], after[key])]
    assert len(same) == len(before) - 2
    found = result(Path("b"))
    assert found["classes"] == ["5", "6", "7", "8", "9"]
    assert found["metrics"]["test/accuracy"] > 0.6
    shutil.rmtree("a")  # the run stands on its own
    evaluated = dlrun("evaluate", "run=b")
    assert evaluated.status == 0, evaluated.err
    assert result(only_run(Path("runs/evaluate")))["metrics"]["test/accuracy"] == found["metrics"]["test/accuracy"]


def test_without_network_and_weights_there_is_one_line(
    dlrun: Dlrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import urllib.error

    def unreachable(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    photos(tmp_path / "photos", count=3)
    ended = dlrun("finetune", "dataset.root=photos")
    assert ended.status == 2
    (line,) = ended.errors
    for part in ("weights=DEFAULT", "resnet50-11ad3fa6.pth", str(tmp_path / "hub"), "weights=null", "weights=FILE"):
        assert part in line
    assert not Path("runs/finetune").exists() or not list(Path("runs").rglob("config.yaml"))


def test_wrong_weights_are_one_line(finetune: Dlrun, tmp_path: Path) -> None:
    torch.save(models.mobilenet_v3_small().state_dict(), "other.pth")
    Path("empty").mkdir()
    for override, part in {
        "weights=other.pth": "does not fit ShuffleNet",
        "weights=nowhere.pth": "no such file or folder",
        "weights=V7": "choose from DEFAULT, IMAGENET1K_V1",
        "weights=empty": "expected shufflenetv2_x0.5-f707e7126e.pth",
        "model.backbone=resnet51": "did you mean 'resnet50'?",
        "model.backbone=squeezenet1_1": "no head to replace",
    }.items():
        more = ["weights=null"] if "squeezenet" in override else []
        ended = finetune(override, *more)
        assert ended.status == 2, override
        assert part in ended.errors[0], ended.errors
        assert len(ended.errors) == 1


def test_weights_by_a_folder_have_their_own_preprocessing(weights: Path, tmp_path: Path) -> None:
    from dlrun.model import pretrained

    (tmp_path / "checkpoints").mkdir()
    shutil.copy(weights, tmp_path / "checkpoints" / "resnet50-0676ba61.pth")
    found = pretrained.find("resnet50", str(tmp_path))
    assert found.path == tmp_path / "checkpoints" / "resnet50-0676ba61.pth"
    assert found.preprocessing.resize_size == 256  # V1's; DEFAULT has 232
    assert pretrained.find("resnet50", None).preprocessing.resize_size == 232
    assert pretrained.find("resnet50", str(weights)).preprocessing.resize_size == 232
    assert len(found.classes) == 1000


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mnasnet0_5", "resnet18"])
def test_backbones_give_the_features_of_their_network(name: str) -> None:
    from dlrun.compute.precision import Precision
    from dlrun.model.backbone import Backbone
    from dlrun.model.finetuned import OnFeatures, head_name, load
    from dlrun.model.normalized import Normalized

    torch.manual_seed(0)
    model = Normalized(load(name, 64, 7), [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]).eval()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
            layer.running_var.uniform_(0.8, 1.2)  # type: ignore[union-attr]
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = model(images)
        features = Backbone(model, Precision("fp32", torch.device("cpu")))(images)
        found = OnFeatures(model, head_name(model.network))(features)
    assert features.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_bf16_features_come_with_a_measured_agreement(finetune: Dlrun, dlrun: Dlrun, tmp_path: Path) -> None:
    photos(tmp_path / "more", count=60)
    options = ("dataset.root=more", "trainer.epochs=30", "optimizer.lr=1", "trainer.monitor=train/accuracy")
    ended = finetune("hydra.run.dir=run", "trainer.precision=bf16", *options)
    assert ended.status == 0, ended.err
    found = result(Path("run"))
    assert found["metrics"]["train/accuracy"] > 0.9  # a head that says the same to all has a half
    assert f"bf16 and fp32 agree on {found['agreement']:.1%}" in ended.out
    said = []
    for precision in ("bf16", "fp32"):
        folder = Path(f"evaluated_{precision}")
        ended = dlrun("evaluate", "run=run", f"trainer.precision={precision}", f"hydra.run.dir={folder}")
        assert ended.status == 0, ended.err
        with (folder / "predictions.csv").open(encoding="utf-8") as stream:
            said.append([row["prediction"] for row in csv.DictReader(stream)])
    assert len(said[1]) == 24
    assert len(set(said[1])) == 2
    assert found["agreement"] > 0.7
    agreed = sum(one == other for one, other in zip(*said, strict=True)) / 24
    assert found["agreement"] == pytest.approx(agreed, abs=0.1)  # bf16 rounds the whole network in other places


def test_values_of_a_run_are_quoted_for_hydra() -> None:
    assert saved.quoted([0.5, None, "a b"]) == "[0.5,null,'a b']"


def test_thousands_of_classes_and_five_images_and_a_nested_folder(finetune: Dlrun, tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8))
    for number in range(100):
        folder = tmp_path / "many" / f"c{number}" / ("deep" if number == 7 else "")
        folder.mkdir(parents=True)
        for index in range(3):
            image.putpixel((index, 0), (number % 256, number // 256, 9))
            image.save(folder / f"{index}.png")
    ended = finetune("dataset.root=many", "hydra.run.dir=run", "trainer.epochs=1")
    assert ended.status == 0, ended.err
    assert len(result(Path("run"))["classes"]) == 100
    photos(tmp_path / "five", count=5)
    (tmp_path / "five" / "link").symlink_to(tmp_path / "photos" / "zebra", target_is_directory=True)
    ended = finetune("dataset.root=five", "hydra.run.dir=five_run")
    assert ended.status == 0, ended.err
    assert result(Path("five_run"))["classes"] == ["link", "zebra", "áñø"]


def test_jobs_at_the_same_time_share_one_whole_cache(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.txt" for number in range(2)]
    jobs = [started(lambda: print(json.dumps(cached(tmp_path / "shared").sum().item())), file) for file in files]
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0]
    outputs = [file.read_text() for file in files]
    assert len({json.loads(output.splitlines()[-1]) for output in outputs}) == 1
    assert sum("computing features" in output for output in outputs) == 1
    assert len(list((tmp_path / "shared").glob("*.pt"))) == 1
