"""The classifiers that others have trained and published, by name: torchvision's, timm's, and one in a package."""

from __future__ import annotations

from torch import nn

from dlrun.errors import UserError, suggest
from dlrun.model import efficientnet_lite0, timm_network

EFFICIENTNET_LITE0 = "efficientnet_lite0"
TIMM = "timm/"
"""What a name of timm's begins with."""


def network(name: str, image_size: int) -> nn.Module:
    """A classifier of ImageNet's size with random weights, without the auxiliary heads that some train with.

    Args:
        name: torchvision's, ``timm/NAME``, or ``efficientnet_lite0``.
        image_size: side in pixels; only vision transformers are made for one size.

    Raises:
        UserError: there is none of this name, or its package is not installed.
    """
    from torchvision import models  # slow to import

    check_name(name)
    if name == EFFICIENTNET_LITE0:
        return efficientnet_lite0.load(3, 1000)
    if name.startswith(TIMM):
        own = name.removeprefix(TIMM)
        return timm_network.load(own, 3, image_size, timm_network.described(own).num_classes)
    if name.startswith("vit_"):
        return models.get_model(name, weights=None, image_size=image_size)  # type: ignore[no-any-return]
    if name in ("googlenet", "inception_v3"):
        # Trained weights expect that the network undoes ImageNet's normalisation.
        return models.get_model(  # type: ignore[no-any-return]
            name, weights=None, aux_logits=False, transform_input=True, init_weights=False
        )
    return models.get_model(name, weights=None)  # type: ignore[no-any-return]


def check_name(name: str) -> None:
    """Refuse a name that is none of a published classifier; timm is asked about its own only where they are made.

    Raises:
        UserError: there is none of this name.
    """
    from torchvision import models  # slow to import

    known = [*models.list_models(module=models), EFFICIENTNET_LITE0]
    if name not in known and not name.startswith(TIMM):
        raise UserError(
            f"model.backbone={name}: neither a classifier of torchvision, nor timm/NAME, nor a run;"
            f" {suggest(name, known)}"
        )
