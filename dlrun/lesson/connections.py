"""Which inputs feed which output of a convolution, for any kernel, stride, padding and dilation."""

from __future__ import annotations

import itertools

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from dlrun.errors import UserError
from dlrun.figure.slide import COLOURS, slide
from dlrun.lesson.lesson import Findings, Lesson, Row

SWEEP = {"size": (5, 8, 13), "kernel": (1, 2, 3, 5), "stride": (1, 2, 3), "padding": (0, 1, 2), "dilation": (1, 2, 3)}


class Connections(Lesson):
    """Connect the inputs of a 1-D convolution with its outputs (004_f2c8751b5d3b52bc.txt, convolution visualizer).

    Input i feeds output j where i = j stride - padding + a dilation for a weight a of the kernel. So there are
    floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1 outputs.

    Args:
        size: inputs.
        kernel: weights.
        stride: inputs from one output's first to the next one's.
        padding: zeros at each end.
        dilation: inputs from one weight's to the next one's.

    Raises:
        UserError: a number is out of its range, or the kernel is wider than the padded input.
    """

    def __init__(self, size: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
        self.layer = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
        for name, value in {"size": size, **self.layer}.items():
            least = 0 if name == "padding" else 1
            if value < least:
                wish = "; 003_7190ac02314fafbe.txt prints a stride of 0 and means 1" if name == "stride" else ""
                raise UserError(f"lesson.{name}={value}: expected {least} or more{wish}")
        if outputs(size, **self.layer) < 1:
            span = dilation * (kernel - 1) + 1
            raise UserError(f"lesson.kernel={kernel}: spans {span} inputs; expected at most {size + 2 * padding}")
        self.size = size

    def __call__(self) -> Findings:
        """The layer of the options, four others beside each other, and a sweep over many for which torch is asked."""
        wrong_sizes, wrong_lines, asked = 0, 0, 0
        for values in itertools.product(*SWEEP.values()):
            size, *layer = values
            if outputs(size, *layer) < 1:
                continue
            support = torch_support(size, *layer)
            wrong_sizes += int(outputs(size, *layer) != len(support))
            wrong_lines += int(not torch.equal(feeds(size, *layer), support))
            asked += 1
        own = feeds(self.size, **self.layer)
        metrics = {
            "inputs": float(self.size),
            "outputs": float(len(own)),
            "connections": float(own.sum()),
            "size_difference": float(len(own) - len(torch_support(self.size, **self.layer))),
            "layers_asked": float(asked),
            "wrong_sizes": float(wrong_sizes),
            "wrong_connections": float(wrong_lines),
        }
        table: list[Row] = [
            {"output": j, "inputs": " ".join(map(str, row.nonzero().flatten().tolist()))} for j, row in enumerate(own)
        ]
        return Findings(metrics, {"layer": self._layer_figure(own), "options": _options_figure()}, {"feeds": table})

    def _layer_figure(self, own: Tensor) -> Figure:
        title = f"{self.size} inputs feed {len(own)} outputs: " + ", ".join(f"{k} {v}" for k, v in self.layer.items())
        figure, (axes,) = slide(title)
        draw(axes, own, self.layer["padding"])
        axes.set_xlabel("rings: the zeros of the padding; orange: one output and the inputs that feed it")
        return figure


def outputs(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """The number of outputs; below 1 where the kernel is wider than the padded input."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def feeds(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Which inputs feed which output, bool (outputs, size)."""
    first = torch.arange(outputs(size, kernel, stride, padding, dilation)) * stride - padding
    met = first[:, None] + torch.arange(kernel) * dilation
    return (met[:, :, None] == torch.arange(size)).any(dim=1)


def torch_support(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """The same from torch: the inputs for which an output has a gradient."""
    weights = torch.ones(1, 1, kernel)

    def layer(inputs: Tensor) -> Tensor:
        return F.conv1d(inputs.view(1, 1, -1), weights, None, stride, padding, dilation).flatten()

    jacobian: Tensor = torch.autograd.functional.jacobian(layer, torch.zeros(size))  # type: ignore[no-untyped-call]
    return jacobian != 0


def draw(axes: Axes, connected: Tensor, padding: int) -> None:
    """Draw inputs (below) and outputs (above) as dots, a line where one feeds the other."""
    count, size = connected.shape
    middle = count // 2
    at = torch.linspace(0, size - 1, count + 2)[1:-1] if count < size else torch.arange(count) - (count - size) / 2
    for j, i in connected.nonzero().tolist():
        chosen = j == middle
        axes.plot(
            [i, at[j]],
            [0, 1],
            color=COLOURS[1] if chosen else "0.7",
            linewidth=3 if chosen else 1,
            zorder=2 if chosen else 1,
        )
    zeros = [*range(-padding, 0), *range(size, size + padding)]
    axes.plot(zeros, [0] * len(zeros), "o", color="0.5", fillstyle="none", markersize=8, zorder=3)
    for places, level in ((range(size), 0.0), (at.tolist(), 1.0)):
        fed = connected[middle].tolist() if level == 0 else [j == middle for j in range(count)]
        colours = [COLOURS[1] if one else COLOURS[0] for one in fed]
        axes.scatter(list(places), [level] * len(colours), c=colours, s=80, zorder=3)
    axes.set_yticks([0, 1], [f"{size} inputs", f"{count} outputs"])
    axes.set_xticks([])
    axes.set_ylim(-0.25, 1.25)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _options_figure() -> Figure:
    plain = {"kernel": 3, "stride": 1, "padding": 0, "dilation": 1}
    changes: list[dict[str, int]] = [{}, {"padding": 1}, {"stride": 2}, {"dilation": 2}]
    figure, plots = slide("Padding keeps the size, a stride halves it, dilation widens the view", 2, 2, 4.8)
    for axes, change in zip(plots, changes, strict=True):
        layer = plain | change
        draw(axes, feeds(9, **layer), layer["padding"])
        axes.set_title(", ".join(f"{name} {value}" for name, value in ({"kernel": 3} | change).items()))
    return figure
