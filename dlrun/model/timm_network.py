"""The networks of timm (PyTorch Image Models), and what it says of their trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from dlrun.errors import UserError, nearest


def imagenet() -> list[str]:
    """The short names of ImageNet's 1,000 classes, which torchvision and dlrun use; timm's are longer."""
    from torchvision.models import ResNet50_Weights  # slow to import

    return list(ResNet50_Weights.DEFAULT.meta["categories"])


def load(name: str, channels: int, image_size: int, num_classes: int) -> nn.Module:
    """A network of timm with random weights.

    Args:
        name: as timm spells it, such as ``resnet18d``; what follows a dot, the weights' tag, changes nothing here.
        channels: of the image.
        image_size: its side in pixels; only networks that are made for one size, such as ViT, are built for it.
        num_classes: outputs.

    Raises:
        UserError: timm is not installed, or has no network of this name.
    """
    is_for_one_size = described(name).fixed_input_size
    sizes = {"img_size": image_size} if is_for_one_size else {}
    made: nn.Module = library().create_model(name, in_chans=channels, num_classes=num_classes, **sizes)
    return made


def described(name: str) -> Any:
    """What timm knows of a network's weights: a ``timm.models.PretrainedCfg``.

    Raises:
        UserError: timm is not installed, or has no network, or no such weights of it.
    """
    timm = library()
    network, _, tag = name.partition(".")
    if not timm.is_model(network):
        known = timm.list_models()
        near = nearest(network, known)
        hint = f"did you mean {near!r}? " if near else ""
        raise UserError(f"model.name={name}: no network of timm; {hint}timm.list_models() names all {len(known):,}")
    tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{network}.*")]
    if tag and tag not in tags:
        raise UserError(f"model.name={name}: timm has no such weights of {network}; choose from {', '.join(tags)}")
    return timm.get_pretrained_cfg(name)


def classes(entry: Any) -> list[str]:
    """What the weights of :func:`described` tell apart: ImageNet's names, or numbers where timm knows none."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    if entry.num_classes == len(names := imagenet()):
        return names
    subset = infer_imagenet_subset(entry)
    if subset is None:
        return [str(number) for number in range(entry.num_classes)]
    known = ImageNetInfo(subset)
    return [known.index_to_description(number) for number in range(entry.num_classes)]


def downloaded(name: str) -> Path:
    """The file of timm's own weights, in the cache of Hugging Face's hub; downloaded on first use.

    Raises:
        UserError: there are none, or they cannot be had.
    """
    entry = described(name)
    if not entry.hf_hub_id:
        raise UserError(f"weights=DEFAULT: timm has no weights of {name}; expected weights=FILE or weights=null")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(entry.hf_hub_id, "model.safetensors"))
    except Exception as error:  # of several libraries, down to the socket's
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise UserError(
            f"weights=DEFAULT: the download of {entry.hf_hub_id} failed ({reason}); name a file with weights=FILE,"
            " or go on from random weights with weights=null"
        ) from None


def library(needs: str = "model=timm: needs timm; pip install 'dlrun[timm]'") -> Any:
    """The package timm, imported where it is first needed: that takes seconds.

    Args:
        needs: what to say where it is not installed.

    Raises:
        UserError: it is not installed.
    """
    try:
        import timm
    except ImportError:
        raise UserError(needs) from None
    return timm
