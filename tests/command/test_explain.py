"""``dlrun explain`` from the command line: on a dataset's images and on files, and what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from omegaconf import OmegaConf
from PIL import Image

from dlrun import build
from dlrun.model.lenet import LeNet
from tests.conftest import QUICK, Dlrun, Train, only_run, result

LENET = (*QUICK[2:], "model=lenet", "dataset.image_size=12", "trainer.epochs=1")
FAST = ("steps=4", "randomize=false", "limit=3")


PLAIN = ("model=lenet", "dataset=digits", "dataset.image_size=12", "weights=weights.pt")


@pytest.fixture
def weights(dlrun: Dlrun) -> None:
    """Weights that learned nothing, a folder without images, and a file that is no image."""
    torch.manual_seed(0)
    torch.save(LeNet(channels=1, image_size=12, num_classes=10).state_dict(), "weights.pt")
    Path("empty").mkdir()
    Path("note.png").write_text("no image")


@pytest.fixture
def trained(train_once: Train) -> Path:
    """A run of LeNet on small digits in the working directory."""
    return train_once(*LENET)


def rows(run: Path, name: str = "explanations.csv") -> list[dict[str, str]]:
    with (run / name).open() as stream:
        return list(csv.DictReader(stream))


def test_maps_pictures_table_and_verdict(dlrun: Dlrun, trained: Path) -> None:
    before = {file: file.read_bytes() for file in trained.rglob("*") if file.is_file()}
    ended = dlrun("explain", "run=last", "explainer.target=[3,8]", "order=first", "limit=2", "steps=4")
    assert ended.status == 0, ended.err
    run = only_run(Path("runs/explain"))
    assert before == {file: file.read_bytes() for file in trained.rglob("*") if file.is_file()}
    saved = np.load(run / "maps.npz")
    assert saved["maps"].shape[:2] == (2, 2)
    assert saved["classes"].tolist() == [[3, 8], [3, 8]]
    assert saved["images"].shape == (2, 1, 12, 12)
    table = rows(run)
    assert [row["explained"] for row in table] == ["3", "8", "3", "8"]
    assert [row["image"] for row in table] == ["0", "0", "1", "1"]
    assert all(0 <= float(row["insertion"]) <= 1 for row in table)
    assert len(list((run / "overlays").glob("*.png"))) == 4
    for name in ("contact_sheet.png", "randomization.png", "randomized_maps.png", "faithfulness.png"):
        assert Image.open(run / name).width == 1600
    stages = rows(run, "randomization.csv")
    assert [row["stage"] for row in stages] == ["fc3", "fc2", "fc1", "conv2", "conv1"]
    assert list(stages[0]) == ["stage", "grad_cam", "guided_backprop"]
    found = result(run)
    assert {"insertion", "deletion", "random_insertion", "edges_deletion"} <= set(found["metrics"])
    assert found["verdict"][0].startswith("grad_cam ")
    assert found["verdict"][0] in ended.out
    assert list(run.glob("events.out.tfevents.*"))


@pytest.mark.usefixtures("weights")
def test_examples_by_place_by_class_and_by_what_the_model_makes_of_them(dlrun: Dlrun) -> None:
    assert dlrun("evaluate", *PLAIN).status == 0
    predicted = rows(only_run(Path("runs/evaluate")), "predictions.csv")

    def explained(*arguments: str) -> list[dict[str, str]]:
        folder = f"runs/explain/{len(list(Path('runs/explain').glob('*')))}"
        ended = dlrun("explain", *PLAIN, *FAST, "steps=0", "pictures=0", f"hydra.run.dir={folder}", *arguments)
        assert ended.status == 0, ended.err
        return rows(Path(folder))

    assert [row["image"] for row in explained("index=[7,2]")] == ["7", "2"]
    fours = [row["index"] for row in predicted if row["target"] == "4"]
    assert [row["image"] for row in explained("class='4'", "order=first")] == fours[:3]
    assert {row["image"] for row in explained("class='4'")} < set(fours)
    assert {row["target"] for row in explained("limit=10")} == set("0123456789")
    unsure = sorted(predicted, key=lambda row: float(row["probability"]))
    found = explained("order=least_certain")
    assert [float(row["probability"]) for row in found] == pytest.approx(
        [float(row["probability"]) for row in unsure[:3]], abs=1e-4
    )
    wrong = explained("order=most_wrong")
    assert all(row["target"] != row["prediction"] for row in wrong)


def test_files_are_explained_with_the_run_s_classes_and_without_its_data(
    dlrun: Dlrun, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(build, "data")  # whoever loads it fails
    Path("photos/inner").mkdir(parents=True)
    for name in ("b.png", "inner/a.jpg"):
        Image.fromarray(np.full((30, 20, 3), 90, dtype=np.uint8)).save(Path("photos") / name)
    ended = dlrun("explain", "run=last", "input=photos", "explainer.top_k=2", *FAST)
    assert ended.status == 0, ended.err
    table = rows(only_run(Path("runs/explain")))
    assert [row["image"] for row in table] == ["b", "b", "a", "a"]
    assert {row["target"] for row in table} == {""}


def test_photos_without_a_run_have_imagenets_classes_and_preprocessing(dlrun: Dlrun) -> None:
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), "resnet18.pt")
    waves = np.sin(np.arange(300)[:, None, None] / 30) * np.sin(np.arange(400)[None, :, None] / 40)
    Image.fromarray((127 + 120 * waves * [1, 0.5, -1]).astype(np.uint8)).save("photo.png")
    options = ("model=resnet18", "weights=resnet18.pt", "input=photo.png", "explainer.target=[tabby,goldfish]")
    ended = dlrun("explain", *options, "steps=2", "randomize=false")
    assert ended.status == 0, ended.err
    run = only_run(Path("runs/explain"))
    assert [row["explained"] for row in rows(run)] == ["tabby", "goldfish"]
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    with Image.open("photo.png") as photo:
        expected = torch.as_tensor(np.load(run / "maps.npz")["images"][0])
        peer = weights.transforms()(photo)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    assert float(((expected - mean) / std - peer).abs().mean()) < 0.03
    assert np.load(run / "maps.npz")["maps"].shape == (1, 2, 7, 7)


def test_a_folder_of_torchvisions_weights_brings_their_preprocessing_to_every_verb(dlrun: Dlrun) -> None:
    torch.manual_seed(0)
    entry = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V2
    assert entry.transforms().resize_size == [232]
    Path("weights").mkdir()
    network = torchvision.models.mobilenet_v2()
    for _ in range(5):  # statistics under which its logits are no rounding error
        network(torch.randn(4, 3, 64, 64))
    network.classifier[1].weight.data *= 20
    torch.save(network.state_dict(), Path("weights") / Path(entry.url).name)
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save("photo.png")
    model = ("model=finetuned", "model.backbone=mobilenet_v2", "weights=weights")
    for verb, more in (
        ("explain", ["input=photo.png", "steps=0", "randomize=false", "pictures=0"]),
        ("predict", ["input=photo.png"]),
        ("visualize", ["visualizer=filters"]),
    ):
        ended = dlrun(verb, *model, *more)
        assert ended.status == 0, ended.err
        config = OmegaConf.load(only_run(Path(f"runs/{verb}")) / "config.yaml")
        assert (config.dataset.resize_size, config.dataset.image_size) == (232, 224)
    explained = rows(only_run(Path("runs/explain")))[0]
    predicted = rows(only_run(Path("runs/predict")), "predictions.csv")[0]
    assert explained["prediction"] == predicted["class"]
    assert float(explained["probability"]) == pytest.approx(float(predicted["probability"]), abs=1e-4)
    assert result(only_run(Path("runs/visualize")))["classes"] == entry.meta["categories"]


@pytest.mark.usefixtures("weights")
def test_of_a_folder_the_images_that_can_be_read_are_explained(dlrun: Dlrun) -> None:
    Path("photos").mkdir()
    Path("photos/a.png").write_text("no image")
    Image.fromarray(np.full((30, 20), 90, dtype=np.uint8)).save("photos/b.png")
    ended = dlrun("explain", *PLAIN, *FAST, "input=photos")
    assert ended.status == 0, ended.err
    assert "warning: photos/a.png: not a readable image" in ended.out
    assert [row["image"] for row in rows(only_run(Path("runs/explain")))] == ["b"]


def attacked(dlrun: Dlrun, folder: str, *arguments: str) -> list[dict[str, str]]:
    """The rows of ``attacked.csv`` of an explanation of the newest run under attack."""
    options = ("attack=pgd", "steps=0", "randomize=false", f"hydra.run.dir={folder}", *arguments)
    ended = dlrun("explain", "run=last", *options)
    assert ended.status == 0, ended.err
    assert result(Path(folder))["verdict"][-1] in ended.out.replace("\n", " ")
    return rows(Path(folder), "attacked.csv")


def test_under_attack_images_change_within_eps_and_so_do_predictions_and_maps(dlrun: Dlrun) -> None:
    assert dlrun("train", *LENET, "trainer.epochs=8").status == 0
    table = attacked(dlrun, "a", "attack.eps=0.3", "attack.steps=10", "limit=20", "explainer.top_k=2", "pictures=3")
    clean = rows(Path("a"))
    assert [(row["image"], row["explained"]) for row in table] == [(row["image"], row["explained"]) for row in clean]
    assert [row["clean_probability"] for row in table] == [row["probability"] for row in clean]
    right = [row for row in table if row["clean_prediction"] == row["target"]]
    fooled = [row for row in right if row["prediction"] != row["target"]]
    metrics = result(Path("a"))["metrics"]
    assert len(right) > 20
    assert metrics["fooled"] == pytest.approx(len(fooled) / len(right))
    assert metrics["fooled"] > 0.8
    mean = sum(float(row["map_correlation"]) for row in right) / len(right)
    assert metrics["attacked_map_correlation"] == pytest.approx(mean, abs=1e-4)
    assert mean < 0.9
    assert all(0 < float(row["linf"]) <= 0.3 for row in right)
    wrong = [row for row in table if row["clean_prediction"] != row["target"]]
    assert all((row["linf"], row["map_correlation"]) == ("0.000000", "1.0000") for row in wrong)
    assert f"fools {len(fooled) // 2} of the {len(right) // 2} images" in result(Path("a"))["verdict"][-1]
    with Image.open("a/attacked.png") as picture:
        assert picture.width == 1600


@pytest.mark.usefixtures("trained")
def test_an_attack_of_eps_0_changes_nothing(dlrun: Dlrun) -> None:
    table = attacked(dlrun, "a", "attack.eps=0", "pictures=0")
    assert {(row["linf"], row["map_correlation"]) for row in table} == {("0.000000", "1.0000")}
    assert all(row["clean_probability"] == row["probability"] for row in table)
    metrics = result(Path("a"))["metrics"]
    assert (metrics["fooled"], metrics["attacked_map_correlation"]) == (0, pytest.approx(1))
    assert not Path("a/attacked.png").exists()


@pytest.mark.usefixtures("trained")
def test_photos_are_attacked_away_from_what_the_model_sees_and_edges_do_not_ask_the_model(dlrun: Dlrun) -> None:
    Path("photos").mkdir()
    for seed in range(2):
        noise = np.random.default_rng(seed).integers(0, 255, (12, 12), dtype=np.uint8)
        Image.fromarray(noise).save(f"photos/{seed}.png")
    table = attacked(dlrun, "a", "input=photos", "attack=fgsm", "attack.eps=128/255", "explainer=edges")
    assert result(Path("a"))["metrics"]["fooled"] == 1
    assert all(row["target"] == "" and row["prediction"] != row["clean_prediction"] for row in table)
    assert all(0.5 < float(row["linf"]) <= 0.502 for row in table)
    assert "of the 2 images" in result(Path("a"))["verdict"][-1]


@pytest.mark.usefixtures("trained")
def test_where_the_model_is_wrong_there_is_nothing_to_attack(dlrun: Dlrun) -> None:
    table = attacked(dlrun, "a", "order=most_wrong", "limit=2")
    assert {row["linf"] for row in table} == {"0.000000"}
    assert set(result(Path("a"))["metrics"]) == set()
    assert result(Path("a"))["verdict"][-1].endswith("attacks nothing: the model is wrong about all 2 images")


@pytest.mark.usefixtures("weights")
def test_another_explainer_and_layer(dlrun: Dlrun) -> None:
    assert dlrun("explain", *PLAIN, *FAST, "explainer=layer_cam", "explainer.layer=conv1").status == 0
    run = only_run(Path("runs/explain"))
    assert np.load(run / "maps.npz")["maps"].shape == (3, 1, 12, 12)


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explainer.layer=conv3"], "explainer.layer=conv3: no such module; did you mean 'conv2'"),
        (["explainer.layer=fc1"], "explainer.layer=fc1: its output (120) has no spatial extent"),
        (["explainer.target=eleven"], "explainer.target=eleven: no such class"),
        (["explainer.target=11"], "explainer.target=11: no such class; expected 0 to 9"),
        (["class=cat"], "class=cat: no such class"),
        (["index=[0,9999]"], "index=9999: no such image"),
        (["input=missing.png"], "input=missing.png: no such file or folder"),
        (["input=empty"], "input=empty: no images in this folder"),
        (["input=note.png"], "note.png: not a readable image"),
        (["order=worst"], "order='worst': expected 'any', 'first', 'most_wrong' or 'least_certain'"),
        (["explainer=grad_cma"], "explainer=grad_cma: no such choice; did you mean 'grad_cam'"),
        (["explainer.top_k=11"], "explainer.top_k=11: expected 1 to 10"),
        (["limit=0"], "limit=0: "),
        (["attack=pgd", "attack.eps=[0.1,0.2]"], "attack.eps=[0.1, 0.2]: expected one number"),
        (["attack=pgd", "attack.eps=-1"], "attack.eps=-1: expected 0 or more"),
        (["attack=pgd", "attack.stepz=3"], "attack.stepz=3: no such key; did you mean 'steps'"),
        (["attack=pgd", "attack.target=10"], "attack.target=10: expected a class, 0 to 9"),
        (["attack=pdg"], "attack=pdg: no such choice; did you mean 'pgd'"),
        (["dataset.image_size=11"], "lenet takes images of 12x12 or more"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(dlrun: Dlrun, arguments: list[str], words: str) -> None:
    ended = dlrun("explain", *PLAIN, *FAST, *arguments)
    assert ended.status == 2, ended.err
    assert len(ended.errors) == 1
    assert words in ended.errors[0]
    assert not Path("runs/explain").exists() or not list(Path("runs/explain").rglob("*.yaml"))
