"""Activation maximisation: the image that a unit, a channel, a layer or a class responds to most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from dlrun import interrupt
from dlrun.errors import UserError
from dlrun.explainer.layer import hooks, named
from dlrun.figure.ascent import ascent
from dlrun.figure.layer_grid import layer_grid
from dlrun.figure.text import percent
from dlrun.model.frozen import frozen
from dlrun.model.logits import class_scores
from dlrun.model.normalized import Normalized
from dlrun.visualizer.visualizer import Shown, Subject, Visualizer


@dataclass
class ActivationMaximization(Visualizer):
    """Gradient ascent on the input (Erhan et al. 2009; regularisers of Yosinski et al. 2015; Olah et al. 2017).

    An image begins as faint noise around the dataset's mean colour. All images of a layer climb together, each for a
    unit of its own.

    Args:
        layers: the dotted names of layers, a row of the picture each; None takes the classes.
        units: channels (or classes) to maximise; None takes the first ``count``.
        count: how many.
        part: of a feature map: the ``channel`` (its mean), the ``unit`` in its middle, or the whole ``layer`` (the mean
            square of all channels: DeepDream), which gives one image.
        objective: of a class: its ``logit`` or its ``probability`` (the logarithm of the softmax).
        steps: of the ascent.
        lr: size of a step (Adam).
        jitter: shift the image by up to so many pixels before each step.
        blur: standard deviation in pixels of a blur of the image every ``blur_every`` steps; 0 is off.
        blur_every: steps.
        tv: weight of the total variation.
        decay: share by which the image goes back to the mean colour in each step.
        zero: share of the pixels, those closest to the mean colour, that are set to it after each step.
        fourier: climb in the image's spectrum, each frequency scaled by its wavelength, so that low ones come first.
        frames: pictures of the ascent to keep, as a film.

    Raises:
        ValueError: regularisers of pixels with ``fourier``.
    """

    layers: list[str] | None = None
    units: list[int] | None = None
    count: int = 10
    part: Literal["channel", "unit", "layer"] = "channel"
    objective: Literal["logit", "probability"] = "logit"
    steps: int = 200
    lr: float = 0.05
    jitter: int = 1
    blur: float = 0.7
    blur_every: int = 4
    tv: float = 0.005
    decay: float = 0.01
    zero: float = 0.0
    fourier: bool = False
    frames: int = 0

    def __post_init__(self) -> None:
        if self.fourier and (self.blur or self.zero):
            raise ValueError("fourier=true: blur and zero work on pixels; expected blur=0 zero=0 with it")

    def show(self, model: Normalized, subject: Subject) -> Shown:
        """A picture for each unit, the curves of the ascent and, of classes, what the model makes of the pictures."""
        rows: dict[str, Tensor] = {}
        titles: list[list[str]] = []
        curves: dict[str, list[float]] = {}
        metrics: dict[str, float] = {}
        films: list[Tensor] = []
        for layer in [None] if self.layers is None else self.layers:
            units = self._units(model, subject, layer)
            images, values, film = self.ascend(model, subject.size, layer, units)
            name = "classes" if layer is None else layer
            labels = (
                [subject.classes[unit] for unit in units] if layer is None else [f"{name}:{unit}" for unit in units]
            )
            labels = [name] if layer is not None and self.part == "layer" else labels
            rows[name] = images
            curves |= {f"activation/{label}": column.tolist() for label, column in zip(labels, values.T, strict=True)}
            films.append(film)
            if layer is None:
                with torch.no_grad():
                    found = class_scores(model(images)).softmax(dim=1)
                own = found[torch.arange(len(units)), torch.tensor(units)].tolist()
                metrics |= {f"probability/{label}": value for label, value in zip(labels, own, strict=True)}
                metrics["least_probability"] = min(own)
                labels = [f"{label} ({percent(value)})" for label, value in zip(labels, own, strict=True)]
            titles.append(labels)
        what = "class" if self.layers is None else self.part
        lines = {name.split("/")[-1]: values for name, values in curves.items()}
        figures: dict[str, Figure] = {
            "activation_maximization": layer_grid(f"The image that each {what} responds to most", rows, titles),
            "activation": ascent(f"Each image is changed until its {what} responds strongly", lines),
        }
        return Shown(figures, metrics, curves, films[0] if self.frames else None)

    def ascend(
        self, model: Normalized, size: tuple[int, int, int], layer: str | None, units: list[int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Climb.

        Returns:
            Images, float (U, C, H, W) in [0,1]; the activations at every step (steps + 1, U); and frames of the
            ascent (frames, U, C, H, W).
        """
        count = 1 if layer is not None and self.part == "layer" else len(units)
        device = next(model.parameters()).device
        mean = model.mean.float() if model.normalizes else torch.full((size[0], 1, 1), 0.5, device=device)
        mean = mean.expand(size)
        noise = torch.randn(count, *size).to(device)  # drawn on the CPU: the same on any device
        if self.fourier:
            spectrum = torch.fft.rfft2(noise, norm="ortho") * 0.01
            scale = _wavelengths(*size[1:]).to(device)
            variable = torch.view_as_real(spectrum).contiguous().requires_grad_()
        else:
            variable = (mean + 0.01 * noise).clamp(0, 1).requires_grad_()

        def image() -> Tensor:
            if not self.fourier:
                return variable
            whole: Tensor = torch.fft.irfft2(torch.view_as_complex(variable) * scale, s=size[1:], norm="ortho")
            return (torch.logit(mean.clamp(0.02, 0.98)) + whole).sigmoid()

        optimizer = torch.optim.Adam([variable], lr=self.lr)
        keep = {round(k * self.steps / max(1, self.frames - 1)) for k in range(self.frames)}
        values, film = [], []
        with frozen(model), torch.enable_grad():
            for step in range(self.steps + 1):
                interrupt.check()
                picture = image()
                if step in keep:
                    film.append(picture.detach().clone())
                shifts = torch.randint(-self.jitter, self.jitter + 1, (2,)).tolist() if step < self.steps else [0, 0]
                activations = self._activations(model, picture.roll(shifts, dims=(2, 3)), layer, units)
                values.append(activations.detach())
                if step == self.steps:
                    break
                optimizer.zero_grad()
                torch.autograd.backward(self.tv * _total_variation(picture) - activations.sum())
                optimizer.step()
                with torch.no_grad():
                    _unstick(variable)
                    self._regularize(variable, mean, step)
            final = image().detach()
        return final, torch.stack(values), torch.stack(film) if film else final.new_empty(0)

    def _regularize(self, variable: Tensor, mean: Tensor, step: int) -> None:
        """What happens to the image (or its spectrum) after a step, in place."""
        if self.fourier:
            variable.mul_(1 - self.decay)
            return
        variable.lerp_(mean, self.decay)
        if self.blur and (step + 1) % self.blur_every == 0:
            kernel = 2 * max(1, round(3 * self.blur)) + 1
            variable.copy_(gaussian_blur(variable, kernel, self.blur))
        if self.zero:
            distance = (variable - mean).abs().amax(dim=1, keepdim=True)
            bound = distance.flatten(1).quantile(self.zero, dim=1).view(-1, 1, 1, 1)
            variable.copy_(torch.where(distance <= bound, mean, variable))
        variable.clamp_(0, 1)

    def _activations(self, model: Normalized, images: Tensor, layer: str | None, units: list[int]) -> Tensor:
        """What each image is to maximise, (U,)."""
        if layer is None:
            scores = class_scores(model(images))
            scores = scores.log_softmax(dim=1) if self.objective == "probability" else scores
            return scores[torch.arange(len(units)), torch.tensor(units)]
        kept: list[Tensor] = []

        def keep(_: Any, __: Any, output: Any) -> None:
            kept[:] = [output.clone()]  # which a ReLU above may change in place

        with hooks([named(model, layer)], keep):
            model(images)
        output = kept[0]
        if self.part == "layer":
            return output.square().flatten(1).mean(dim=1)
        own = output[torch.arange(len(units)), torch.tensor(units)]
        if own.ndim == 1:
            return own
        return own.mean(dim=(1, 2)) if self.part == "channel" else own[:, own.shape[1] // 2, own.shape[2] // 2]

    def _units(self, model: Normalized, subject: Subject, layer: str | None) -> list[int]:
        """The units to maximise.

        Raises:
            UserError: there is no such unit.
        """
        available = len(subject.classes)
        if layer is not None:
            kept: list[int] = []
            note = hooks([named(model, layer)], lambda *parts: kept.append(parts[2].shape[1]))
            with frozen(model), torch.no_grad(), note:
                model(torch.zeros(1, *subject.size, device=next(model.parameters()).device))
            if not kept:
                raise UserError(f"visualizer.layers={layer}: the model does not use this layer")
            available = kept[0]
        if self.units is None:
            return list(range(min(self.count, available)))
        beyond = [unit for unit in self.units if not 0 <= unit < available]
        if beyond:
            raise UserError(f"visualizer.units={beyond[0]}: no such unit; expected 0 to {available - 1}")
        return self.units


def _unstick(images: Tensor) -> None:
    """Move images (or spectra) without any gradient at random: every ReLU on their way may be off where they start."""
    assert images.grad is not None
    stuck = images.grad.flatten(1).abs().amax(dim=1) == 0
    if stuck.any():
        images[stuck] += 0.1 * torch.randn(images.shape).to(images.device)[stuck]


def _total_variation(images: Tensor) -> Tensor:
    """The sum over the images of the absolute differences between neighbours."""
    return images.diff(dim=2).abs().sum() + images.diff(dim=3).abs().sum()


def _wavelengths(height: int, width: int) -> Tensor:
    """The wavelength of every frequency of a real spectrum (H, W/2 + 1), in images; that of the mean is the longest."""
    rows, columns = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
    frequency = torch.hypot(rows[:, None], columns[None, :])
    return 1 / frequency.clamp(min=1 / max(height, width))
