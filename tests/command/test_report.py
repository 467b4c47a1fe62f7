"""The report of ``dlrun reproduce``: experiments are brought up to date one by one, the others stay."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from dlrun.experiment import header, report
from dlrun.experiment.report import Outcome


def outcome(name: str, folder: Path, value: float, figures: tuple[str, ...], group: str = "experiment") -> Outcome:
    """An experiment with one claim, and pictures of 300 colours."""
    for figure in figures:
        file = folder / name / "figures" / f"{figure}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        colors = [(number % 256, number // 256 * 8, 0) for number in range(300)]
        picture = Image.new("RGB", (300, 8))
        picture.putdata(colors * 8)
        picture.save(file)
    claim = {"metric": "loss", "claim": "≤ 1.0000", "value": value, "met": value <= 1}
    result = {"status": "completed", "seconds": 1.0, "expect": [claim]}
    return Outcome(header.read(name, group), folder / name, {"": result})


def test_a_report_takes_new_rows_and_keeps_the_others(tmp_path: Path) -> None:
    there = tmp_path / "report"
    report.write(
        [
            outcome("xor", tmp_path / "a", 0.5, ("loss", "map")),
            outcome("pooling", tmp_path / "a", 0.25, ("photo",), "lesson"),
        ],
        there,
    )
    whole = (there / "README.md").read_text(), (there / "figures.md").read_text()
    report.write([outcome("xor", tmp_path / "a", 0.5, ("loss", "map"))], there)
    assert ((there / "README.md").read_text(), (there / "figures.md").read_text()) == whole

    report.write([outcome("moons", tmp_path / "b", 0.75, ()), outcome("xor", tmp_path / "b", 2.0, ("map",))], there)
    rows = [text.split(" | ") for text in (there / "README.md").read_text().splitlines()[6:]]
    assert [(row[0], row[4], row[5]) for row in rows] == [
        ("| moons", "0.7500", "met"),
        ("| xor", "2", "NOT MET"),
        ("| pooling", "0.2500", "met"),
    ]
    page = (there / "figures.md").read_text()
    assert [text[3:] for text in page.splitlines() if text.startswith("## ")] == ["xor", "pooling"]
    assert "xor-loss" not in page
    assert {file.name for file in (there / "figures").iterdir()} == {"xor-map.png", "pooling-photo.png"}


def test_the_seconds_on_a_gpu_name_it(tmp_path: Path) -> None:
    made = outcome("xor", tmp_path, 0.5, ())
    made.results[""]["environment"] = {"device": "cuda (a GPU)"}
    assert [row[-1] for row in made.rows] == ["1 on cuda (a GPU)"]
    made.results[""]["environment"] = {"device": "cpu"}
    assert [row[-1] for row in made.rows] == ["1"]


def test_an_experiment_that_is_gone_leaves_the_report(tmp_path: Path) -> None:
    report.write([outcome("xor", tmp_path, 0.5, ("map",))], tmp_path / "report")
    table, page = tmp_path / "report" / "README.md", tmp_path / "report" / "figures.md"
    for file in (table, page):
        file.write_text(file.read_text().replace("xor", "rox"))
    report.write([outcome("moons", tmp_path, 0.5, ())], tmp_path / "report")
    assert [text.split(" | ")[0] for text in table.read_text().splitlines()[6:]] == ["| moons"]
    assert "##" not in page.read_text()


def test_a_picture_in_a_report_keeps_its_size_and_has_few_colors(tmp_path: Path) -> None:
    report.write([outcome("xor", tmp_path, 0.5, ("map",))], tmp_path / "report")
    with Image.open(tmp_path / "report" / "figures" / "xor-map.png") as picture:
        assert picture.size == (300, 8)
        assert picture.mode == "P"
        assert len(picture.convert("RGB").getcolors(1000) or ()) <= report.COLORS
