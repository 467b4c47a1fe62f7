"""The rows of a linear classifier as images."""

from __future__ import annotations

from torch import nn

from dlrun.errors import UserError
from dlrun.explainer.layer import layers
from dlrun.figure.weights import templates
from dlrun.model.normalized import Normalized
from dlrun.visualizer.visualizer import Shown, Subject, Visualizer


class ClassTemplates(Visualizer):
    """What a linear classifier holds an image against (001_6d5271d093cc63ab.txt, linear classification)."""

    def show(self, model: Normalized, subject: Subject) -> Shown:
        """The weights of each class in the shape of an image.

        Raises:
            UserError: the model is more than one dense layer on the pixels.
        """
        weighted = [module for module in layers(model).values() if module._parameters]
        dense = weighted[0] if len(weighted) == 1 else None
        channels, height, width = subject.size
        if not isinstance(dense, nn.Linear) or dense.in_features != channels * height * width:
            raise UserError("visualizer=class_templates: the model is no linear classifier; expected model=linear")
        images = dense.weight.detach().float().cpu().view(-1, channels, height, width)
        titles = subject.classes if len(images) == len(subject.classes) else [subject.classes[-1]]
        return Shown({"class_templates": templates(images, titles)})
