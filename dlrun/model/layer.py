"""One layer of torch.nn, written as in Python, to be inspected by itself."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlrun.errors import UserError, nearest

HEIGHT, WIDTH = 50, 100
"""Pixels of an image where no input is named: those of the example in 004_f2c8751b5d3b52bc.txt."""
OTHERS = {"module", "container", "loss", "parallel"}
"""Modules of torch.nn whose classes are no layers."""
LAYERS = {
    name: kind
    for name, kind in vars(nn).items()
    if isinstance(kind, type) and issubclass(kind, nn.Module) and not OTHERS & {*kind.__module__.split(".")}
}
"""The classes that can be written."""


class SingleLayer(nn.Module):
    """A layer as the only one of a network.

    Args:
        layer: a class of ``torch.nn`` with literal arguments, such as ``Conv2d(3, 32, (3, 5), dilation=2)``.
        input: the size of what goes in, examples first; None for two examples of the size that the layer reads,
            (2, C, 50, 100) for an image.

    Raises:
        UserError: the text is anything else, or the layer refuses its arguments or the input.
    """

    def __init__(self, layer: str, input: Sequence[int] | None = None) -> None:
        super().__init__()
        self.layer = parsed(layer)
        self.input_shape = tuple(input or usual_input(self.layer))
        try:
            with torch.no_grad():
                output = self.layer(torch.zeros(self.input_shape))
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            size = "x".join(map(str, self.input_shape))
            reason = str(error).split("\n")[0]
            raise UserError(f"model.input={list(self.input_shape)}: {layer} cannot take {size} ({reason})") from None
        if not isinstance(output, Tensor):
            raise UserError(
                f"model.layer={layer}: gives a {type(output).__name__}; expected a layer that gives a tensor"
            )
        self.output_shape = tuple(output.shape)

    def forward(self, inputs: Tensor) -> Tensor:
        """What the layer makes of inputs of the size ``input_shape``, examples first."""
        result: Tensor = self.layer(inputs)
        return result

    def sizes(self) -> dict[str, tuple[int, ...]]:
        """The sizes of input and output, and of the layer's parameters by their names."""
        parameters = {name: tuple(parameter.shape) for name, parameter in self.layer.named_parameters()}
        return {"input": self.input_shape, "output": self.output_shape, **parameters}


def parsed(text: str) -> nn.Module:
    """The layer that a text such as ``Conv2d(8, 16, 3)`` describes; the text is read, and never run.

    Raises:
        UserError: it is no call of a class of ``torch.nn`` with numbers, tuples, names in quotes, True, False or None.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        call = None
    if not isinstance(call, ast.Call):
        raise UserError(
            f"model.layer={text}: expected a class of torch.nn with its arguments, such as Conv2d(8, 16, 3)"
        )
    prefix, _, name = ast.unparse(call.func).rpartition(".")
    if prefix not in ("", "nn", "torch.nn") or name not in LAYERS:
        near = nearest(name, LAYERS)
        wish = f"did you mean {near!r}?" if near else "expected one such as Conv2d, MaxPool2d or Linear"
        raise UserError(f"model.layer={text}: torch.nn has no such layer; {wish}")
    try:
        values = [ast.literal_eval(each) for each in call.args]
        options = {each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg}
        if len(options) < len(call.keywords):
            raise ValueError("**")
    except ValueError:
        raise UserError(
            f"model.layer={text}: expected arguments that are numbers, tuples, True, False or None"
        ) from None
    try:
        return LAYERS[name](*values, **options)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise UserError(f"model.layer={text}: {str(error).splitlines()[0]}") from None


def usual_input(layer: nn.Module) -> tuple[int, ...]:
    """Two examples of the size that a layer reads, images where nothing says otherwise."""
    features = getattr(layer, "in_features", None)
    if features is not None:
        return 2, features
    channels = getattr(layer, "in_channels", None) or getattr(layer, "num_features", None) or 8
    places = {"1": (WIDTH,), "3": (8, HEIGHT, WIDTH)}.get(type(layer).__name__.rstrip("d")[-1:], (HEIGHT, WIDTH))
    return 2, channels, *places
