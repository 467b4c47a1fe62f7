"""Tables of numbers: a CSV file of one's own, and one that comes with scikit-learn."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor

from dlrun.dataset.field import Field, Label, Vector
from dlrun.dataset.source import Splits, TensorSource, stratified
from dlrun.errors import UserError, suggest
from dlrun.paths import shown

FIELDS: dict[str, Field] = {"features": Vector(), "target": Label()}
LEAST = 10
"""Rows of a table that can be split."""


def load(root: str, target: str | None = None, test_fraction: float = 0.2, seed: int = 0) -> Splits:
    """The rows of a CSV file: a line of names, then lines of numbers; commas, semicolons or tabs between them.

    A column of numbers is to be predicted by ``task=regression``; words are classes, for ``task=classification``.

    Args:
        root: the file.
        target: the column to predict; None takes the last.
        test_fraction: of the rows, for the test.
        seed: of this split.

    Raises:
        UserError: no such file or column, too few rows, a row of another length, or a feature that is no number.
    """
    names, rows = _read(Path(root))
    target = names[-1] if target is None else target
    if target not in names:
        raise UserError(f"dataset.source.target={target}: no such column in {shown(root)}; {suggest(target, names)}")
    place = names.index(target)
    features = [
        [_number(cell, root, line, names[column]) for column, cell in enumerate(row) if column != place]
        for line, row in rows
    ]
    if not features[0]:
        raise UserError(f"{shown(root)}: the column {target} alone; expected others to predict it from")
    cells = [row[place] for _, row in rows]
    values = torch.tensor(features)
    if all(map(_is_number, cells)):
        wanted = torch.tensor(
            [[_number(cell, root, line, target)] for (line, _), cell in zip(rows, cells, strict=True)]
        )
        return split(values, wanted, [], test_fraction, seed)
    classes = sorted(set(cells))
    if len(classes) > len(cells) / 2 or "" in classes:
        line = next(line for (line, _), cell in zip(rows, cells, strict=True) if not _is_number(cell))
        raise UserError(
            f"{shown(root)}: line {line}, column {target}: neither a number nor a class; expected one of them"
        )
    return split(values, torch.tensor([classes.index(cell) for cell in cells]), classes, test_fraction, seed)


def diabetes(seed: int = 0) -> Splits:
    """442 patients, ten measurements each, and how far their diabetes went on in a year (Efron et al. 2004)."""
    found = load_diabetes()
    return split(torch.tensor(found.data).float(), torch.tensor(found.target).float()[:, None], [], 0.2, seed)


def split(features: Tensor, targets: Tensor, classes: list[str], test_fraction: float, seed: int) -> Splits:
    """Features (N, F) and targets (N, K), or classes (N,), in two parts by seed."""
    source = TensorSource({"features": features, "target": targets})
    strata = targets if targets.ndim == 1 else torch.zeros(len(targets))
    train, test = stratified(strata, test_fraction, seed)
    return Splits(source.subset(train), source.subset(test), classes, fields=FIELDS)


def _read(file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and the rows with their lines' numbers."""
    name = shown(file)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"dataset.root={name}: {error.strerror}; expected a CSV file") from None
    except UnicodeDecodeError:
        raise UserError(f"dataset.root={name}: no text in UTF-8; expected a CSV file") from None
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=separator)
    lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    if len(lines) <= LEAST:
        raise UserError(f"{name}: {max(len(lines) - 1, 0)} rows below a line of names; expected {LEAST} or more")
    (_, names), *rows = lines
    if all(map(_is_number, names)):
        raise UserError(f"{name}: line 1 has numbers; expected the names of the columns")
    if len(set(names)) < len(names):
        raise UserError(f"{name}: two columns of one name; expected a name for each")
    for line, row in rows:
        if len(row) != len(names):
            raise UserError(f"{name}: line {line} has {len(row)} cells; expected {len(names)}, as line 1")
    return names, rows


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _number(cell: str, root: str, line: int, column: str) -> float:
    if not _is_number(cell):
        raise UserError(f"{shown(root)}: line {line}, column {column}: {cell or 'empty'}; expected a number")
    return float(cell)
