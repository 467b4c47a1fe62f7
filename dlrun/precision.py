"""Number formats of the computation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """The number format in which a device computes; weights stay in fp32."""

    name: Literal["fp32", "bf16", "fp16"]
    device: torch.device

    def autocast(self) -> torch.autocast:
        """A context in which operations run in this format."""
        return torch.autocast(self.device.type, dtype=TYPES[self.name], enabled=self.name != "fp32")

    def scaler(self) -> torch.amp.GradScaler:
        """Gradient scaling, which fp16 needs lest small gradients vanish; in other formats it does nothing."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")
