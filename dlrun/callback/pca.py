"""Principal component analysis beside an autoencoder of the same size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn import decomposition
from torch import Tensor

from dlrun.callback.callback import Callback
from dlrun.dataset.loader import Loader
from dlrun.errors import UserError
from dlrun.figure.image_rows import image_rows
from dlrun.task.reconstruction import Reconstruction

if TYPE_CHECKING:
    from dlrun.training.trainer import Trainer


class PCA(Callback):
    """Fits PCA on the training images, tests it, and draws both methods (000_9560d611d10ac6dd.txt, autoencodeurs).

    ``test/pca_loss`` is its loss on the test set. Two pictures: reconstructions, and the way between two test images
    by straight lines in the image, in PCA's code and in the autoencoder's.

    Args:
        components: size of the code; the autoencoder's.
        pairs: images between which to walk, by place in the test set.
        steps: images on a way, both ends included.
    """

    metric_names = ("test/pca_loss",)

    def __init__(self, components: int, pairs: list[list[int]] | None = None, steps: int = 10) -> None:
        self.components, self.steps = components, steps
        self.pairs = pairs or [[0, 1], [4, 3]]

    def on_begin(self, trainer: Trainer) -> None:
        """Refuse another task than reconstruction, before anything trains."""
        if not isinstance(trainer.task, Reconstruction):
            raise UserError(f"callback: {type(self).__name__} stands beside task=reconstruction alone")

    def measure(self, trainer: Trainer) -> dict[str, float]:
        """Fit, test and draw."""
        task, device = trainer.task, trainer.device
        assert isinstance(task, Reconstruction)
        train, test = _images(trainer.data.evaluation("train")), _images(trainer.data.test)
        pca = decomposition.PCA(self.components, svd_solver="covariance_eigh").fit(_flat(train))

        def by_pca(codes: np.ndarray) -> Tensor:
            return torch.from_numpy(pca.inverse_transform(codes)).float().view(-1, *test.shape[1:])

        codes = pca.transform(_flat(test))
        loss = float(task.criterion(by_pca(codes), test))

        model = trainer.eval_model.eval()
        encoder, decoder = (model.network.get_submodule(name) for name in ("encoder", "decoder"))
        with torch.inference_mode():
            first = test[:12]
            network = model(first.to(device)).cpu()
            title = f"Test images, each brought back from a code of {self.components} numbers"
            rows = {"image": first, "autoencoder": network, "PCA": by_pca(codes)[:12]}
            trainer.recorder.figure("pca", image_rows(title, rows), trainer.cursor.step)
            share = torch.linspace(0, 1, self.steps)
            rows = {}
            for number, (start, end) in enumerate(self.pairs, start=1):
                ends = torch.stack([test[start], test[end]])
                hidden = encoder(model.normalize(ends.to(device)))
                walk = torch.lerp(hidden[:1], hidden[1:], share.view(-1, 1, 1, 1).to(device))
                along = share[:, None].numpy() * codes[[end]] + (1 - share[:, None].numpy()) * codes[[start]]
                rows[f"pixels {number}"] = torch.lerp(ends[:1], ends[1:], share.view(-1, 1, 1, 1))
                rows[f"PCA {number}"] = by_pca(along)
                rows[f"autoencoder {number}"] = decoder(walk).cpu()
            title = "From one image to another: along a straight line of pixels, or of codes"
            trainer.recorder.figure("interpolation", image_rows(title, rows), trainer.cursor.step)
        return {"test/pca_loss": loss}


def _images(loader: Loader) -> Tensor:
    return torch.cat([batch["image"].cpu() for batch in loader.epoch()])


def _flat(images: Tensor) -> np.ndarray:
    return images.flatten(1).numpy()
