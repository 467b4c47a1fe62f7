"""The notebook of the tour, executed: it runs as it stands, and its cells show lines of a training and figures."""

from __future__ import annotations

from pathlib import Path

import pytest

TOUR = Path(__file__).parents[2] / "docs" / "tour.ipynb"


@pytest.mark.slow
def test_the_tour_runs_and_shows_progress_and_figures(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(TOUR, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # of another version they would mislead
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [[*map(_text, cell.outputs)] for cell in notebook.cells if cell.cell_type == "code"]
    assert any("epoch 3/3" in text for text in shown[0])
    assert any("data:image/png" in text for text in shown[0])
    assert "torch.Size([1, 10])" in "".join(shown[3])
    assert any("data:image/png" in text for text in shown[4])  # where it looks
    assert "optimizer.lr" in "".join(shown[-1])


def _text(output: object) -> str:
    """All that an output of a cell says."""
    return str(output)
