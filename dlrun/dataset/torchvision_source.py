"""The datasets of torchvision that hold all images as one array: MNIST and its kin, CIFAR."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from torchvision import datasets

from dlrun.dataset.source import Splits, from_arrays
from dlrun.errors import UserError, suggest


def load(dataset: str, root: str) -> Splits:
    """Both splits of a torchvision dataset, downloaded into ``root`` on first use.

    Args:
        dataset: the dotted name of the class, such as ``torchvision.datasets.MNIST``.
        root: the folder that holds, or shall hold, the dataset's own folder.

    Raises:
        UserError: no such dataset, or the data is neither there nor to be had from the network, or damaged.
    """
    name = dataset.removeprefix("torchvision.datasets.")
    if name not in datasets.__all__:
        raise UserError(f"dataset.source.dataset={dataset}: no such dataset; {suggest(name, datasets.__all__)}")
    cls = getattr(datasets, name)
    train, test = _split(cls, root, train=True), _split(cls, root, train=False)
    return Splits(
        train=from_arrays(train.data, train.targets),
        test=from_arrays(test.data, test.targets),
        classes=[name.split(" - ")[0] for name in train.classes],  # MNIST says "0 - zero"
    )


def _split(cls: type, root: str, train: bool) -> Any:
    try:
        try:
            return cls(root=root, train=train)
        except RuntimeError:  # torchvision's word for "not found or corrupted"
            print(f"downloading {cls.__name__} to {Path(root).resolve()}", flush=True)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                return cls(root=root, train=train, download=True)
    except (OSError, RuntimeError) as error:  # URLError is an OSError
        raise UserError(
            f"dataset.root={root}: no {cls.__name__} in {Path(root).resolve()}, and the download failed"
            f" ({' '.join(str(error).split())}); set dataset.root=DIR or DLRUN_DATA to the folder that holds it"
        ) from None
    except Exception as error:  # a damaged file raises whatever the reader stumbles over
        raise UserError(
            f"dataset.root={root}: the files of {cls.__name__} in {Path(root).resolve()} are damaged, or hold more than"
            f" plain data ({type(error).__name__}); expected those of the download"
        ) from None
