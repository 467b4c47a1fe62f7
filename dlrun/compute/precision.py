"""Number formats of the computation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """The number format in which a device computes; weights stay in fp32.

    ``auto`` is bf16 where the device has it in hardware, else fp32.
    """

    name: Literal["auto", "fp32", "bf16", "fp16"]
    device: torch.device

    @property
    def resolved(self) -> Literal["fp32", "bf16", "fp16"]:
        """The format itself."""
        if self.name == "auto":
            return "bf16" if has_bf16(self.device) else "fp32"
        return self.name

    def autocast(self) -> torch.autocast:
        """A context in which operations run in this format."""
        name = self.resolved
        return torch.autocast(self.device.type, dtype=TYPES[name], enabled=name != "fp32")

    def scaler(self) -> torch.amp.GradScaler:
        """Gradient scaling, which fp16 needs lest small gradients vanish; in other formats it does nothing."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies matrices of bfloat16 in hardware; software is slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return any(bool(capabilities.get(name)) for name in ("amx_bf16", "avx512_bf16", "bf16"))
