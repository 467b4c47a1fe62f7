from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from dlrun.dataset import digits
from dlrun.dataset.batch import Batch
from dlrun.loss.mse import MeanSquaredError
from dlrun.model.autoencoder import Autoencoder
from dlrun.task.reconstruction import Reconstruction
from tests.conftest import Dlrun, result

SMALL = (
    "experiment=autoencoder_digits",
    "model.width=4",
    "trainer.limit_batches=4",
    "trainer.epochs=1",
    "callback.tensorboard.graph=false",
    "hydra.run.dir=run",
)


@pytest.fixture
def task() -> Reconstruction:
    return Reconstruction(MeanSquaredError(), 10, 1, 4)


def test_the_loss_compares_with_the_image_and_scores_are_its_mean(task: Reconstruction) -> None:
    images = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    scores = task.scores()
    for part in (images[:3], images[3:]):
        batch: Batch = {"image": part}
        loss, outputs = task.loss(lambda x: x / 2, batch)
        scores.add(batch, loss, outputs)
    assert scores.metrics()["loss"] == pytest.approx(float((images / 2).square().mean()), rel=1e-6)
    kept, outputs = scores.kept
    assert torch.equal(kept, images)
    assert torch.equal(outputs, images / 2)


def test_a_model_that_gives_no_image_of_the_same_size_is_refused(task: Reconstruction) -> None:
    task.check_output(torch.zeros(1, 1, 4, 4))
    for shape in ((1, 10), (1, 1, 5, 5), (1, 3, 4, 4)):
        with pytest.raises(ValueError, match="for an image of 1x4x4; expected a reconstruction"):
            task.check_output(torch.zeros(shape))


@pytest.mark.parametrize("latent", [2, 8, 32])
def test_the_autoencoder_has_the_sizes_of_the_course(latent: int) -> None:
    model = Autoencoder(1, 28, latent)
    assert model.encoder(torch.zeros(2, 1, 28, 28)).shape == (2, latent, 1, 1)
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 1, 28, 28)
    assert sum(p.numel() for p in model.parameters()) == 112_457 + (latent - 8) * (2 * 16 * 32 + 1)
    assert isinstance(model.encoder, nn.Sequential)


def test_a_training_stands_beside_pca_and_draws_both(dlrun: Dlrun) -> None:
    ended = dlrun("train", *SMALL, "dataset.val_fraction=0", "trainer.limit_batches=null", "trainer.steps=3", "~expect")
    assert ended.status == 0, ended.err
    metrics = result(Path("run"))["metrics"]
    splits = digits.load(28)
    train, test = (part.tensors["image"].flatten(1).numpy() / 255 for part in (splits.train, splits.test))  # type: ignore[attr-defined]
    pca = PCA(8, svd_solver="full").fit(train)
    expected = np.square(pca.inverse_transform(pca.transform(test)) - test).mean()
    assert metrics["test/pca_loss"] == pytest.approx(expected, rel=1e-4)
    names = {file.name for file in Path("run/figures").iterdir()}
    assert names == {"curves.png", "samples.png", "reconstructions.png", "pca.png", "interpolation.png"}
