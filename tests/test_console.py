"""What a terminal and a pipe show: whole words at any width, few lines, bars on a terminal alone."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from torch import nn

from dlrun import console
from dlrun.attack.pgd import PGD
from dlrun.callback import pace
from dlrun.callback.progress import Progress, has_line
from dlrun.interrupt import Interrupted
from dlrun.run import closing
from dlrun.run.bars import KEPT, Curve, Row, line
from tests.conftest import QUICK, Dlrun

METRICS = {"train/loss": 0.67824, "train/accuracy": 0.78131, "val/loss": 0.40302, "val/accuracy": 0.89581}


def screen(monkeypatch: pytest.MonkeyPatch, width: int, live: bool = True) -> io.StringIO:
    """A terminal of so many columns, or a pipe, in the place of the real one."""
    file = io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    shown = Console(file=file, force_terminal=live, width=width, soft_wrap=True, highlight=False, markup=False)
    monkeypatch.setattr(console, "terminal", shown)
    return file


def epochs(progress: Progress, last: int, stopped: str | None = None, metrics: dict[str, float] = METRICS) -> None:
    for epoch in range(1, last + 1):
        trainer: Any = SimpleNamespace(
            monitor="val/accuracy",
            cursor=SimpleNamespace(epoch=epoch, stopped=stopped, best=0.8958),
            extent=SimpleNamespace(last_epoch=last),
        )
        progress.on_epoch_end(trainer, metrics, improved=epoch == 1)


@pytest.mark.parametrize("width", [160, 80, 60])
def test_epoch_lines_break_between_figures(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    file = screen(monkeypatch, width)
    epochs(Progress(), 3)
    lines = file.getvalue().splitlines()
    assert len(lines) == {160: 3, 80: 3, 60: 6}[width]
    assert all(len(line) < width for line in lines)
    if width == 160:
        assert lines[0].startswith(
            "epoch 1/3  train/loss 0.6782  train/accuracy 0.7813  val/loss 0.4030  val/accuracy "
        )
    else:
        said = " ".join(lines[0].split() if width == 80 else (lines[0] + lines[1]).split())
        assert said == "epoch 1/3 loss 0.6782 (val 0.4030) accuracy 0.7813 (val 0.8958) 0.0 s *"


def test_a_pipe_has_the_whole_line_and_of_many_epochs_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    file = screen(monkeypatch, console.WIDTH, live=False)
    epochs(Progress(), 200)
    lines = file.getvalue().splitlines()
    assert [int(line.split("/")[0].split()[-1]) for line in lines] == [1, *range(10, 201, 10)]
    assert all("val/accuracy 0.8958" in line and "images/s" in line for line in lines)
    assert all(has_line(epoch, 20) for epoch in range(1, 21))
    assert len([epoch for epoch in range(1, 1001) if has_line(epoch, 1000)]) <= 21
    epochs(Progress(), 2, stopped="patience")
    assert len(file.getvalue().splitlines()) == len(lines) + 2


@pytest.mark.parametrize("width", [100, 72, 60, 30])
def test_tables_lose_no_letter(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    file = screen(monkeypatch, width)
    headers = ["job", "val/accuracy", "test/accuracy", "explained_probability", "seconds"]
    table = Table(*headers, title="a sweep")
    table.add_row("optimizer.lr-0.1", "0.9375", "0.9526", "0.5", "16.0")
    console.say(table)
    said = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= max(width, 40)
    for word in ("a sweep", "optimizer.lr-0.1", "0.9375", "0.9526", "seconds", "explained", "probability"):
        assert word in said


def test_text_is_broken_between_words_and_paths_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    file = screen(monkeypatch, 40)
    path = "runs/train/lenet-digits/2026-11-26_04-53-41/figures"
    console.say(f"650 parameters; 1,294 images to train, 144 to validate: {path}")
    assert file.getvalue().splitlines() == ["650 parameters; 1,294 images to train,", "144 to validate:", path]


def test_bars_are_drawn_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for live in (True, False):
        file = screen(monkeypatch, 80, live)
        console.wait("loading")
        console.say("said")
        assert console._board is None
        assert list(console.track(range(3), "pictures", 3)) == [0, 1, 2]
        with console.bar("outer", 2) as advance:
            advance(1)
            assert list(console.track("ab", "inner")) == ["a", "b"]
            assert (console._board is not None) == live
        assert console._board is None
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", file.getvalue())
        assert ("loading" in text and "pictures" in text) if live else text == "said\n"


def test_a_bar_says_what_fits_and_breaks_no_word() -> None:
    row = Row("epoch 10/10", 100, lambda: notes, done=20, started=0.0)
    row.done = 60
    notes = [
        ["loss 0.1234 ▇▅▄▃▂▁", "loss 0.1234"],
        ["best accuracy 0.9861 ▁▂▄▅▆█", "best 0.9861"],
        ["12,345 images/s"],
    ]
    assert row.left(80.0) == 80.0  # 40 steps took 80 s
    said = {width: line(row, width, 80.0, no_color=True).plain for width in (120, 80, 60, 45, 20)}
    assert said[120].split("  ")[-1] == "12,345 images/s"
    assert said[80] == "epoch 10/10  ━━━━━━      1:20  loss 0.1234 ▇▅▄▃▂▁  best accuracy 0.9861 ▁▂▄▅▆█"
    assert said[60] == "epoch 10/10  ━━━━━━      1:20  loss 0.1234  best 0.9861"
    assert said[45] == "epoch 10/10  ━━━━━━      1:20  loss 0.1234"
    assert all(len(text) < width for width, text in said.items())
    assert line(row, 80, 80.0, plain=True).plain.isascii()


def test_a_curve_of_any_number_of_values_is_small() -> None:
    def drawn(*values: float) -> Curve:
        found = Curve()
        found.add(values)
        return found

    assert str(drawn(2.0, 1.0, float("nan"), 0.0)) == "█▅▁"
    assert str(drawn(*[0.5] * 100)) == "▁" * 6
    assert str(falling := drawn(*range(6400, 0, -1))) == "█▇▅▄▂▁"
    assert len(falling._sums) < KEPT


def test_a_training_says_once_that_it_will_take_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "terminal", Console(width=160, soft_wrap=True, highlight=False, markup=False))
    clock = iter(range(0, 10_000, 4))  # four seconds a step
    monkeypatch.setattr("dlrun.callback.progress.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    progress = Progress()
    train = SimpleNamespace(examples=lambda _: {"image": torch.zeros(1, 3, 128, 128)})
    trainer: Any = SimpleNamespace(
        data=SimpleNamespace(train=train),
        cursor=SimpleNamespace(step=0),
        extent=SimpleNamespace(last_step=400, last_epoch=40),
        options=SimpleNamespace(),
    )
    trainer.options.steps = None
    progress.on_phase_start(trainer)
    for step in range(1, 20):
        trainer.cursor.step = step
        progress.on_step_end(trainer)
    said = "about 26 min to go at this speed; dataset.image_size=64 or trainer.epochs=1 makes it shorter\n"
    assert capsys.readouterr().out == said
    assert pace.advice(10_000, 900, 0, 32) == "about 2.8 h to go at this speed; trainer.steps=5 makes it shorter"


def test_no_color_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    file = screen(monkeypatch, 80)
    with console.bar("pictures", 2) as advance:
        advance(1)
    assert "pictures" in file.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*\b(3[0-9]|38|9[0-7])[0-9;]*m", file.getvalue())


def test_an_attack_counts_its_looks_while_it_is_at_work() -> None:
    attack, seen = PGD(eps=0.1, steps=4), list[int]()

    class Watched(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(attack.looks_so_far)
            return images.flatten(1)[:, :2] + torch.tensor([9.0, 0.0])  # nothing fools it

    for _ in range(2):
        attack(Watched(), torch.full((3, 1, 2, 2), 0.5), torch.zeros(3, dtype=torch.int64))
        assert attack.looks_so_far == attack.queries == 3 * len(seen)
    assert seen == [3 * number for number in range(1, len(seen) + 1)]
    assert attack.at(0.2).looks_so_far == 0


def test_a_training_ends_with_what_to_type_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("runs/train/lenet-digits/now")
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.pt").touch()
    config: dict[str, Any] = {
        "verb": "train",
        "name": "a",
        "task": {"_target_": "dlrun.task.classification.Classification"},
        "dataset": {"image_size": 28, "shape": None},
    }
    OmegaConf.save(config, run / "config.yaml")
    verbs = [line.split()[1:3] for line in closing.following("train", run)]
    assert verbs == [["explain", "run=last"], ["attack", "run=last"], ["predict", "run=last"], ["tensorboard"]]
    assert closing.following("attack", run) == []
    config["dataset"]["shape"] = [2]
    elsewhere = Path("my runs/a")
    elsewhere.mkdir(parents=True)
    OmegaConf.save(config, elsewhere / "config.yaml")
    assert closing.following("train", elsewhere)[0] == "dlrun evaluate run='my runs/a'"


def test_an_interruption_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    Path("sweep").mkdir()
    Path("sweep/sweep.yaml").touch()
    for verb, folder, said in (
        ("train", "a", "interrupted; dlrun train run=a goes on"),
        ("attack", "a", "interrupted; what there is lies in a"),
        ("train", "sweep", "interrupted; the same command with hydra.sweep.dir=sweep goes on"),
        ("train", "gone", "interrupted by SIGINT"),
    ):
        with pytest.raises(Interrupted, match=re.escape(said)), closing.telling(verb, lambda: Path(folder)):  # noqa: B023
            raise Interrupted(2)


def test_a_pipe_ends_with_the_folder(dlrun: Dlrun) -> None:
    ended = dlrun("train", *QUICK, "hydra.run.dir=a")
    assert ended.out.splitlines()[-1] == "run folder: a"
