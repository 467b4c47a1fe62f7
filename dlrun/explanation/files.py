"""What ``dlrun explain`` writes and prints: tables, maps, pictures."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from rich.table import Table
from torch import Tensor

from dlrun import console
from dlrun.explanation.maps import Explanation, UnderAttack
from dlrun.figure.attacked import attacked
from dlrun.figure.overlay import contact_sheet, overlay
from dlrun.figure.text import counted, percent, verbatim
from dlrun.files import write_whole
from dlrun.record.recorder import Recorder

LISTED = 20
"""The most rows of the table that is printed."""
Row = dict[str, str | float]


def table(explanation: Explanation, names: list[str]) -> list[Row]:
    """A row for every image and class."""
    examples, rows = explanation.examples, []
    for number, (name, target) in enumerate(zip(examples.names, examples.targets, strict=True)):
        own = explanation.probabilities[number]
        for explained in explanation.classes[number].tolist():
            rows.append(
                Row(
                    image=name,
                    target="" if target is None else names[target],
                    prediction=names[int(own.argmax())],
                    probability=float(own.max()),
                    explained=names[explained],
                    explained_probability=float(own[explained]),
                )
            )
    return rows


def draw(recorder: Recorder, explanation: Explanation, maps: Tensor, rows: list[Row], most: int, method: str) -> None:
    """An overlay for each image and class, and a sheet of all; also on the TensorBoard."""
    if most == 0:
        return
    images, maps = explanation.examples.images[:most].cpu(), maps[:most].cpu()
    asked = maps.shape[1]
    captions, subtitles = [], []
    for number, image in enumerate(images):
        own = rows[number * asked : (number + 1) * asked]
        target = own[0]["target"]
        caption = seen(own[0]["prediction"], own[0]["probability"])
        captions.append(seen(own[0]["prediction"], own[0]["probability"], target))
        subtitles.append([f"{row['explained']} ({percent(float(row['explained_probability']))})" for row in own])
        for row, map, subtitle in zip(own, maps[number], subtitles[-1], strict=True):
            title = f"{method}: what speaks for {verbatim(str(row['explained']))} in this image"
            is_said = f", is {target}" if target else ""
            figure = overlay(title, image, map, (f"prediction: {caption}{is_said}", f"evidence for {subtitle}"))
            name = re.sub(r"[^\w.+-]+", "-", f"{number:03d}_{row['image']}_{row['explained']}")
            recorder.figure(f"overlays/{name}", figure, number)
    title = f"{method}: {counted(len(images), 'image')}, and what speaks for a class in each"
    recorder.figure("contact_sheet", contact_sheet(title, images, maps, captions, subtitles))


def show_attacked(
    recorder: Recorder,
    before: list[Row],
    explanation: Explanation,
    maps: Tensor,
    found: UnderAttack,
    names: list[str],
    title: str,
    most: int,
) -> None:
    """``attacked.csv``, a row for every image and class, and ``attacked.png``; also on the TensorBoard."""
    asked = maps.shape[1]
    measures = zip(found.correlations.flatten().tolist(), found.linf.repeat_interleave(asked).tolist(), strict=True)
    rows = [
        Row(
            image=row["image"],
            target=row["target"],
            explained=row["explained"],
            clean_prediction=row["prediction"],
            clean_probability=row["probability"],
            prediction=after["prediction"],
            probability=after["probability"],
            map_correlation=correlation,
            linf=f"{linf:.6f}",
        )
        for row, after, (correlation, linf) in zip(before, table(found.after, names), measures, strict=True)
    ]
    recorder.table("attacked", rows_of_text(rows))
    if most == 0:
        return
    captions = [
        [
            seen(row["clean_prediction"], row["clean_probability"], row["target"]),
            str(row["explained"]),
            seen(row["prediction"], row["probability"]),
            str(row["explained"]),
            f"rank corr. {row['map_correlation']:.2f}",
        ]
        for row in rows[: most * asked]
    ]
    images = [one.examples.images.repeat_interleave(asked, dim=0) for one in (explanation, found.after)]
    fooled = found.fooled.repeat_interleave(asked).tolist()[: most * asked]
    all_maps = [maps.flatten(0, 1), found.maps.flatten(0, 1)]
    recorder.figure("attacked", attacked(images, all_maps, captions, fooled, title))


def seen(prediction: str | float, probability: str | float, target: str | float = "") -> str:
    """What a model sees in an image and how surely, and what it is where that is known and another."""
    caption = f"{prediction} ({percent(float(probability))})"
    return caption if target in ("", prediction) else f"{caption}, is {target}"


def write_maps(path: Path, maps: Tensor, explanation: Explanation) -> None:
    """The raw maps with the images and classes that they belong to."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        maps=maps.cpu().numpy(),
        classes=explanation.classes.cpu().numpy(),
        images=explanation.examples.images.cpu().numpy(),
        names=np.array(explanation.examples.names),
    )
    write_whole(path, buffer.getbuffer())


def rows_of_text(rows: list[Row]) -> list[dict[str, str]]:
    """The rows with numbers in four digits."""
    return [{key: plain(value) for key, value in row.items()} for row in rows]


def say_table(rows: list[Row], title: str) -> None:
    """Print the first rows."""
    shown = Table(*rows[0], title=title)
    for row in rows[:LISTED]:
        shown.add_row(*map(plain, row.values()))
    console.say(shown)
    if len(rows) > LISTED:
        console.say(f"and {len(rows) - LISTED:,} more rows in explanations.csv")


def plain(value: str | float) -> str:
    """A cell of a table."""
    return value if isinstance(value, str) else f"{value:.4f}"
