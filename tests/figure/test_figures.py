"""All figures have the one format: 1600 pixels, a title, axes with labels, no text beyond the edge."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator

import pytest
import torch
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from torch import Tensor

import dlrun.figure
from dlrun.figure.abroad import abroad
from dlrun.figure.accuracy_curve import curve
from dlrun.figure.adversarial import adversarial
from dlrun.figure.ascent import ascent
from dlrun.figure.attacked import attacked
from dlrun.figure.attention import alignments, by_length, captions
from dlrun.figure.confusion_matrix import confusion_matrix
from dlrun.figure.curves import curves
from dlrun.figure.decision_map import decision_map
from dlrun.figure.denoised import denoised
from dlrun.figure.embedding import embedding
from dlrun.figure.faithfulness import faithfulness
from dlrun.figure.image_grid import image_grid
from dlrun.figure.image_rows import image_rows
from dlrun.figure.layer_grid import layer_grid
from dlrun.figure.overlay import contact_sheet, overlay
from dlrun.figure.ranking import ranking
from dlrun.figure.repeated import repeated
from dlrun.figure.residuals import residuals
from dlrun.figure.samples import samples
from dlrun.figure.sanity import randomization, randomized_maps
from dlrun.figure.segmentation import segmentation
from dlrun.figure.signals import signals
from dlrun.figure.similarity import similarity
from dlrun.figure.slide import DPI
from dlrun.figure.text import counted
from dlrun.figure.texts import neighbours
from dlrun.figure.texts import texts as written
from dlrun.figure.tiles import Tile, picture, tiles
from dlrun.figure.training import training
from dlrun.figure.weights import templates, weights

LONG = "a speed limit of $100 for lorries_with trailers"
Draw = Callable[[list[str]], Figure]


def images(count: int, channels: int = 1, size: int = 8) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def confused(names: list[str]) -> Figure:
    counts = torch.randint(0, 3, (len(names), len(names)), generator=torch.Generator().manual_seed(0))
    return confusion_matrix(counts + torch.eye(len(names), dtype=torch.int64) * 950, names)


def mapped(names: list[str]) -> Figure:
    axis, coarse = torch.linspace(-0.1, 1.1, 31), torch.linspace(-0.1, 1.1, 11)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    logits = torch.stack([torch.cos(x * number + y) for number in range(len(names))], dim=2)
    targets = torch.arange(len(names))
    return decision_map(axis, logits, torch.rand(len(names), 2), targets, names, coarse, [logits[::3, ::3]])


def explained(names: list[str]) -> Figure:
    pictures, maps = images(len(names)), images(2 * len(names), 1, 4).view(len(names), 2, 4, 4)
    return contact_sheet("grad_cam", pictures, maps, names, [[name, name] for name in names])


def under_attack(names: list[str]) -> Figure:
    maps = images(len(names), 1, 4).squeeze(1)
    pair, fooled = [images(len(names), 3)] * 2, [True] * len(names)
    return attacked(pair, [maps, maps.flip(0)], [[name] * 5 for name in names], fooled, LONG)


def segmented(names: list[str]) -> Figure:
    masks = torch.arange(4 * 64).view(4, 8, 8) % len(names)
    return segmentation(images(4, 3), masks, masks.flip(0), names)


LINES = [(float(x), 0.01 * x + 0.1) for x in range(1, 9)]
STEPS = [float(step) for step in range(41)]
RADII, RIGHT = [0, 0.1], [0.9, 0.2]
SHARES = {3: (9, 10, 0.6, 0.98), 4: (1, 10, 0.02, 0.4)}
FIGURES: dict[str, Draw] = {
    "abroad.abroad": lambda names: abroad(["all", *names], [(9, 10)] * (len(names) + 1), [(1, 10)] * (len(names) + 1)),
    "accuracy_curve.curve": lambda names: curve(LONG, RADII, dict.fromkeys(names[:2], RIGHT), 50, "linf"),
    "adversarial.adversarial": lambda names: adversarial(
        LONG, images(6), images(6).flip(0), [(names[0], names[1])] * 6, [True] * 6
    ),
    "attention.alignments": lambda names: alignments([("34+57", ["9", "1", ""], torch.rand(3, 5))] * 2),
    "attention.by_length": lambda names: by_length((LONG, "exact match"), SHARES),
    "attention.captions": lambda names: captions(
        LONG, images(2, 3), torch.rand(2, 4, 3, 3), [["a", "red", "ring", "here"]] * 2, [["a", "red", "cross"]] * 2
    ),
    "ascent.ascent": lambda names: ascent(LONG, dict.fromkeys(names, STEPS)),
    "attacked.attacked": lambda names: under_attack(names[:8]),
    "confusion_matrix.confusion_matrix": confused,
    "curves.curves": lambda names: curves(LONG, ("a", "b"), dict.fromkeys(names, LINES)),
    "decision_map.decision_map": mapped,
    "denoised.denoised": lambda names: denoised(images(12), images(12), images(12), torch.arange(12)),
    "embedding.embedding": lambda names: embedding(
        torch.rand(40, 3), torch.arange(40) % len(names), names, names[:1], torch.rand(9), torch.rand(9) + 1
    ),
    "faithfulness.faithfulness": lambda names: faithfulness(LONG, dict.fromkeys(names[:2], (images(1), images(2)[1:]))),
    "image_grid.image_grid": lambda names: image_grid(LONG, images(len(names), 3), names),
    "image_rows.image_rows": lambda names: image_rows(LONG, dict.fromkeys(names[:6], images(12))),
    "layer_grid.layer_grid": lambda names: layer_grid(
        LONG, {name: images(count + 1) for count, name in enumerate(names[:2])}, [["a"], ["a", "b"]], images(1)[0]
    ),
    "overlay.contact_sheet": lambda names: explained(names[:8]),
    "overlay.overlay": lambda names: overlay(LONG, images(1)[0], images(1, 1, 4)[0, 0], (names[0], names[1])),
    "ranking.ranking": lambda names: ranking(
        LONG, images(3, 3), [(names[:12], [float(number) for number in range(len(names[:12]))], names[0])] * 3
    ),
    "repeated.repeated": lambda names: repeated(
        "test/accuracy",
        "optimizer.lr",
        ["0.1", "0.01"],
        {"batch 8": {name: {"0.1": (0.8, 0.1), "0.01": (0.9, 0.0)} for name in names[:5]}},
    ),
    "residuals.residuals": lambda names: residuals(torch.rand(20, 1), torch.rand(20, 1), torch.rand(20, 1)),
    "samples.samples": lambda names: samples(LONG, torch.rand(len(names), 2), names),
    "sanity.randomization": lambda names: randomization(names, {"cam": [-0.5] * len(names), LONG: [0.9] * len(names)}),
    "sanity.randomized_maps": lambda names: randomized_maps(names, images(1)[0], {LONG: list(images(61)[:, 0])}),
    "segmentation.segmentation": segmented,
    "similarity.similarity": lambda names: similarity(
        images(4, 3), (names * 2)[:4], torch.arange(4) > 2, torch.rand(4, 4)
    ),
    "signals.signals": lambda names: signals(LONG, torch.rand(len(names), 1, 20), names),
    "texts.neighbours": lambda names: neighbours(LONG, dict.fromkeys(names[:8], [(names[0], 0.5)] * 5), names[:8]),
    "texts.texts": lambda names: written(LONG, [LONG * 5] * len(names), names),
    "tiles.tiles": lambda names: tiles(LONG, [[Tile(picture(images(1)[0]), name) for name in names[:10]]]),
    "training.training": lambda names: training({name: {"train": LINES, "val": LINES} for name in names[:5]}, 3),
    "weights.templates": lambda names: templates(images(len(names), 3) - 0.5, names),
    "weights.weights": lambda names: weights(images(len(names)), names, LONG),
}
CLASSES = {
    "2": ["cat", "dog"],
    "10 long": [f"{LONG} {number}" for number in range(10)],
    "60": [f"class{number}" for number in range(60)],
}
BY_CLASS = ("ascent", "confusion_matrix", "curves", "samples", "sanity", "segmentation", "weights")


def functions() -> Iterator[str]:
    """All public functions of the package that return a figure."""
    for module in pkgutil.iter_modules(dlrun.figure.__path__):
        members = vars(importlib.import_module(f"dlrun.figure.{module.name}"))
        for name, member in members.items():
            own = inspect.isfunction(member) and member.__module__ == f"dlrun.figure.{module.name}"
            if own and not name.startswith("_") and inspect.signature(member).return_annotation == "Figure":
                yield f"{module.name}.{name}"


def faults(figure: Figure) -> list[str]:
    """What is wrong with a figure's format."""
    figure.set_dpi(DPI)
    figure.draw_without_rendering()
    wide, tall = figure.canvas.get_width_height()
    found = [] if wide == 1600 else [f"{wide} pixels wide"]
    if not figure.get_suptitle().strip():
        found.append("no title")
    for axes in figure.axes:
        for axis, view in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            if tick_labels(axis, view) and not axis.get_label_text():
                found.append("an axis without a label")
    titles = [text for text in figure.get_children() if isinstance(text, Text) and text.get_text()]
    for legend in figure.legends:
        if any(legend.get_window_extent().overlaps(title.get_window_extent()) for title in titles):
            found.append("a legend over the title")
    for text in texts(figure):
        box = text.get_window_extent()
        if box.x0 < -1 or box.y0 < -1 or box.x1 > wide + 1 or box.y1 > tall + 1:
            found.append(f"beyond the edge: {text.get_text()!r} {box}")
        if float(text.get_fontsize()) < 7:
            found.append(f"too small: {text.get_text()!r}")
    return found


def tick_labels(axis: Axis, view: tuple[float, float]) -> list[Text]:
    """Those that are seen: matplotlib has more, of ticks beyond the axis."""
    seen = [min(view) <= place <= max(view) for place in axis.get_majorticklocs()]
    labels = axis.get_ticklabels() if axis.axes.axison else []
    return [label for label, is_seen in zip(labels, seen, strict=False) if is_seen and label.get_visible()]


def texts(figure: Figure) -> Iterator[Text]:
    """All texts that are seen."""
    found = [text for text in figure.get_children() if isinstance(text, Text)]
    found += [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        found += [*axes.texts, *(text for legend in axes.findobj(Legend) for text in legend.get_texts())]
        if axes.axison:
            found += [axes.title, axes.xaxis.label, axes.yaxis.label]
            found += tick_labels(axes.xaxis, axes.get_xlim()) + tick_labels(axes.yaxis, axes.get_ylim())
    return (text for text in found if text is not None and text.get_text())


def test_every_function_that_draws_is_tested() -> None:
    assert set(functions()) == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("classes", ["2", "10 long"])
def test_a_figure_is_a_slide(name: str, classes: str) -> None:
    assert faults(FIGURES[name](CLASSES[classes])) == []


@pytest.mark.parametrize("name", [name for name in FIGURES if name.split(".")[0] in BY_CLASS])
def test_a_figure_of_60_classes_is_a_slide(name: str) -> None:
    assert faults(FIGURES[name](CLASSES["60"])) == []


def test_one_image_is_an_image() -> None:
    assert [counted(number, "image") for number in (0, 1, 2, 1_234)] == [
        "0 images",
        "1 image",
        "2 images",
        "1,234 images",
    ]
