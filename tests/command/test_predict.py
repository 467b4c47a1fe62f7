"""``dlrun predict``: ranked classes of image files."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision import models
from torchvision.transforms.functional import pil_to_tensor

from tests.command.test_finetune import photos
from tests.conftest import QUICK, Dlrun, Train, only_run, result

TRAIN = ("train", "model=linear", "dataset=image_folder", "dataset.root=photos", "dataset.image_size=8")


def rows() -> list[dict[str, str]]:
    with (only_run(Path("runs/predict")) / "predictions.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_run_names_its_classes_and_leaves_out_what_it_cannot_read(dlrun: Dlrun, tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    trained = dlrun(*TRAIN, "hydra.run.dir=run", "callback.tensorboard=null", "trainer.epochs=30")
    assert trained.status == 0, trained.err
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    ended = dlrun("predict", "run=run", "input=photos")
    assert ended.status == 0, ended.err
    assert "warning: photos/broken.jpg" in ended.out
    found = rows()
    assert len(found) == 2 * 24
    assert result(only_run(Path("runs/predict")))["unreadable"] == 1
    first = [row for row in found if row["rank"] == "1"]
    right = sum(Path(row["file"]).parent.name == row["class"] for row in first)
    assert right / len(first) >= 0.9
    for best, second in zip(found[::2], found[1::2], strict=True):
        assert float(best["probability"]) + float(second["probability"]) == pytest.approx(1, abs=1e-5)
        assert float(best["probability"]) >= 0.5


def test_torchvisions_own_classes_preprocessing_and_ranks(dlrun: Dlrun, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = models.resnet18().eval()
    torch.save(network.state_dict(), "resnet18.pth")
    Image.effect_noise((256, 256), 80).convert("RGB").save("photo.png")
    ended = dlrun("predict", "model=resnet18", "weights=resnet18.pth", "input=photo.png")
    assert ended.status == 0, ended.err
    entry = models.ResNet18_Weights.DEFAULT
    with torch.no_grad():
        batch = entry.transforms()(pil_to_tensor(Image.open("photo.png"))).unsqueeze(0)
        expected = network(batch).softmax(dim=1).topk(12)
        scores = network(batch)[0].topk(12).values.tolist()
    found = rows()
    assert [float(row["probability"]) for row in found] == pytest.approx(expected.values[0].tolist(), rel=1e-4)
    assert [float(row["score"]) for row in found] == pytest.approx(scores, abs=2e-4)
    names = [entry.meta["categories"][index] for index in expected.indices[0].tolist()]
    assert [row["class"] for row in found] == names


def test_weights_without_their_run_have_the_datasets_classes_and_normalisation(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*QUICK, "hydra.run.dir=run", "callback.tensorboard=null")
    Image.effect_noise((8, 8), 80).save("photo.png")
    found = []
    for options in (["run=run"], ["model=linear", "dataset=digits", "dataset.image_size=8", "weights=weights.pt"]):
        Path("weights.pt").write_bytes(Path("run/checkpoints/best.pt").read_bytes())
        ended = dlrun("predict", *options, "input=photo.png", "hydra.run.dir=runs/predict/one")
        assert ended.status == 0, ended.err
        found.append(rows())
        shutil.rmtree("runs/predict")
    assert found[0] == found[1]
    assert len({row["class"] for row in found[0]}) == 10


def test_the_pictures_of_a_dataset_are_known_and_counted(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*QUICK, "hydra.run.dir=run")
    options = ("model=linear", "dataset=digits", "dataset.image_size=8", "weights=run/checkpoints/best.pt", "top_k=3")
    ended = dlrun("predict", *options, "hydra.run.dir=runs/predict/one")
    assert ended.status == 0, ended.err
    trained, found = (result(Path(run)) for run in ("run", "runs/predict/one"))
    assert found["images"] == 359
    assert found["metrics"]["accuracy"] == pytest.approx(trained["metrics"]["test/accuracy"])
    table = rows()
    own = [row["file"].split("(")[1].rstrip(")") for row in table]
    right = [row["class"] == name for row, name in zip(table, own, strict=True)]
    assert found["metrics"]["top_accuracy"] == pytest.approx(sum(right) / 359)
    assert found["metrics"]["accuracy"] < found["metrics"]["top_accuracy"] < 1
    assert (table[0]["file"].split()[0], table[-1]["file"].split()[0]) == ("0", "358")
    assert Path("runs/predict/one/ranking.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("run=run",), "input: none given"),
        (("run=run", "input=nowhere.jpg"), "input=nowhere.jpg: no such file or folder"),
        (("run=run", "input=empty"), "no images in this folder"),
        (("run=run", "input=text.jpg"), "not a readable image"),
        (("model=lenet", "input=text.jpg"), "weights: none given"),
        (("input=text.jpg",), "model: none chosen"),
    ],
)
def test_wrong_input_is_one_line(dlrun: Dlrun, train_once: Train, arguments: tuple[str, ...], part: str) -> None:
    if arguments[0] == "run=run" and len(arguments) > 1:
        train_once(*QUICK, "hydra.run.dir=run", "callback.tensorboard=null")
    elif arguments[0] == "run=run":
        Path("run").mkdir()
        assert dlrun("train", *QUICK, "hydra.run.dir=run", "trainer.epochs=1").status == 0
    Path("empty").mkdir()
    Path("text.jpg").write_text("no image")
    ended = dlrun("predict", *arguments)
    assert ended.status == 2
    assert len(ended.errors) == 1
    assert part in ended.errors[0]
