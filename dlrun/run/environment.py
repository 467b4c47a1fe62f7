"""What a run's numbers may depend on besides its config."""

from __future__ import annotations

import os
import platform

import numpy as np
import torch

from dlrun import __version__


def describe(device: torch.device) -> dict[str, str | int]:
    """Versions, device and threads, for ``result.json``."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "dlrun": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "device": f"{device} ({name})",
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
    }
