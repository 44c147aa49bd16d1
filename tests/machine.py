"""What identifies a machine's arithmetic: only on the same one must results be the same bytes."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import torch


def machine() -> dict[str, str]:
    """Returns what decides the last bits of a sum on a CPU with one thread.

    PyTorch chooses its own kernels by the capability, but MKL and oneDNN look at the processor's family and model.
    """
    found = {"torch": torch.__version__, "capability": torch.backends.cpu.get_cpu_capability()}
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    values = [re.search(rf"^{key}\s*: (.+)$", text, re.MULTILINE) for key in ("vendor_id", "cpu family", "model")]
    found["processor"] = " ".join(value[1] for value in values if value) or platform.processor()
    return {**found, "machine": platform.machine(), "system": platform.system()}
