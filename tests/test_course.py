"""The pages of the course, English and French: the same commands and pictures, all of which are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from dlrun.command.verbs import VERBS
from dlrun.experiment import header

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ("course.md", "cours.md")
DOCUMENTS = (
    "000_9560d611d10ac6dd",
    "001_6d5271d093cc63ab",
    "002_650a5abb4bbbf8e1",
    "003_7190ac02314fafbe",
    "004_f2c8751b5d3b52bc",
)


def commands(page: str) -> list[str]:
    """The commands of a page in their order, in listings (without comments) and in the text; no placeholders."""
    found = []
    for listing, inline in re.findall(r"^```sh\n(.*?)^```|`(dlrun\s[^`]+)`", page, re.S | re.M):
        found += [line.partition(" #")[0].strip() for line in listing.splitlines()] or [" ".join(inline.split())]
    return [command for command in found if not re.search(r"\b(NAME|NOM)\b", command)]


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def pictures(page: str) -> list[str]:
    return re.findall(r"!\[[^]]+\]\(([^)]+)\)", page)


def test_both_languages_have_the_same_commands_and_pictures_in_the_same_order() -> None:
    english, french = (read(name) for name in PAGES)
    assert commands(english) == commands(french)
    assert pictures(english) == pictures(french)
    assert len(commands(english)) > 150
    assert english.count("\n#") == french.count("\n#")
    assert english.count("\n| ") == french.count("\n| ")


@pytest.mark.parametrize("name", PAGES)
def test_the_documents_follow_each_other(name: str) -> None:
    headings = re.findall(r"^## .*\((.*)\.txt\)$", read(name), re.M)
    assert tuple(headings) == DOCUMENTS


def test_every_picture_is_there() -> None:
    assert [picture for picture in pictures(read("course.md")) if not (DOCS / picture).is_file()] == []


def test_every_command_names_a_verb_and_an_experiment_or_a_lesson_with_options_that_exist() -> None:
    for command in commands(read("course.md")):
        verb, *arguments = command.replace("'", "").split()[1:]
        assert verb in VERBS, command
        for name in re.findall(r"experiment=(\w+)", command):
            assert header.read(name).verb == verb, command
        if verb == "lesson":
            lesson = arguments[0]
            assert lesson in header.names("lesson"), command
            options = OmegaConf.load(header.folder("lesson") / f"{lesson}.yaml").lesson
            for option in arguments[1:]:
                assert option.split("=")[0].removeprefix("lesson.") in options, command


@pytest.mark.parametrize("name", PAGES)
def test_every_experiment_and_lesson_stands_in_the_last_table(name: str) -> None:
    table = read(name).rpartition("\n## ")[2]
    named = set(re.findall(r"experiment=(\w+)|dlrun lesson (\w+)", table))
    missing = {*header.names(), *header.names("lesson")} - {name for pair in named for name in pair}
    assert not missing, f"docs/{name}: not in the last table: {sorted(missing)}; give each a row, or its place in one"
