from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from dlrun.errors import UserError
from dlrun.lesson.layer_sizes import LayerSizes, channels_read, pixels_read
from dlrun.model.layer import SingleLayer
from tests.conftest import Dlrun, only_run, result


@pytest.mark.parametrize(
    ("text", "parameters", "sizes"),
    [
        ("Conv2d(8, 16, 3)", 1168, {"input": (2, 8, 50, 100), "output": (2, 16, 48, 98), "weight": (16, 8, 3, 3)}),
        ("nn.Conv2d(3,32,(3,5),dilation=2)", 1472, {"output": (2, 32, 46, 92), "weight": (32, 3, 3, 5)}),
        ("torch.nn.Conv2d(8, 16, 3, groups=8)", 160, {"weight": (16, 1, 3, 3), "bias": (16,)}),
        ("Conv1d(2, 4, 3, padding='same')", 28, {"input": (2, 2, 100), "output": (2, 4, 100)}),
        ("Linear(7, 5, bias=False)", 35, {"input": (2, 7), "output": (2, 5)}),
        ("MaxPool2d(2)", 0, {"input": (2, 8, 50, 100), "output": (2, 8, 25, 50)}),
        ("BatchNorm2d(6)", 12, {"input": (2, 6, 50, 100)}),
        ("ReLU()", 0, {"output": (2, 8, 50, 100)}),
    ],
)
def test_a_layer_by_its_text(text: str, parameters: int, sizes: dict[str, tuple[int, ...]]) -> None:
    made = SingleLayer(text)
    assert sum(each.numel() for each in made.parameters()) == parameters
    assert made.sizes().items() >= sizes.items()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Conv2f(8, 16, 3)", "torch.nn has no such layer; did you mean 'Conv2d'?"),
        ("Sequential()", "torch.nn has no such layer; "),
        ("os.system('true')", "torch.nn has no such layer; "),
        ("Conv2d", "expected a class of torch.nn with its arguments, such as Conv2d(8, 16, 3)"),
        ("Conv2d(8, 16, 3", "expected a class of torch.nn with its arguments, such as Conv2d(8, 16, 3)"),
        ("Conv2d(8, 16, open('x'))", "expected arguments that are numbers, tuples, True, False or None"),
        ("Conv2d(8, 16, 3, **{'groups': 8})", "expected arguments that are numbers, tuples, True, False or None"),
        ("Conv2d(8, 16)", "Conv2d.__init__() missing 1 required positional argument: 'kernel_size'"),
        ("Conv2d(8, 16, 3, groups=3)", "in_channels must be divisible by groups"),
    ],
)
def test_other_texts_are_refused_and_never_run(text: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        SingleLayer(text)
    assert str(refused.value).startswith(f"model.layer={text}: {message}")


def test_an_input_that_does_not_fit_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"^model.input=\[2, 3, 50, 100\]: Conv2d\(8, 16, 3\) cannot take 2x3x50x100 \("
    ):
        SingleLayer("Conv2d(8, 16, 3)", [2, 3, 50, 100])


def test_which_pixels_and_channels_a_convolution_reads() -> None:
    lesson = LayerSizes({"one": "Conv2d(4, 8, (2, 3), dilation=2, groups=2)"}, [9, 9], 1)
    conv = lesson.layers["one"].layer
    assert isinstance(conv, nn.Conv2d)
    assert pixels_read(conv).astype(int).tolist() == [[1, 0, 1, 0, 1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 1]]
    assert channels_read(conv).sum(axis=1).tolist() == [2] * 8
    assert channels_read(conv)[0].tolist() == [True, True, False, False]
    with pytest.raises(UserError, match=r"^lesson.layers.one=ReLU\(\): expected a Conv2d"):
        LayerSizes({"one": "ReLU()"}, [9, 9], 1)


def test_inspect_takes_a_layer_as_it_is_written_in_python(dlrun: Dlrun) -> None:
    ended = dlrun("inspect", "model=layer", "model.layer=Conv2d(8, 16, 3)")
    assert ended.status == 0, ended.err
    metrics = result(only_run(Path("runs/inspect")))["metrics"]
    assert metrics["parameters"] == 1168
    assert metrics["multiply_adds"] == 1152 * 48 * 98
    for size in ("(2, 8, 50, 100)", "(2, 16, 48, 98)", "(16, 8, 3, 3)", "(16)"):
        assert size in ended.out
