"""The generators of WGAN-GP and SNGAN in kwotsin/mimicry, whose checkpoints gancli imports.

The package itself would import its metrics and with them TensorFlow, so only its networks are imported.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from checkpoints import LATENT, latents, record_of

from adapters import driving, stand_ins

REPOSITORY = "kwotsin/mimicry"
GENERATORS = {"wgan_gp": ("WGANGP", {32: 8, 48: 16, 64: 32, 128: 32}), "sngan": ("SNGAN", {32: 8})}
"""By package, the beginning of a class's name, and by resolution the width with which the generator begins."""
FILES = (
    "torch_mimicry/modules/resblocks.py",
    "torch_mimicry/nets/wgan_gp/wgan_gp_resblocks.py",
    *(f"torch_mimicry/nets/{kind}/{kind}_{size}.py" for kind, (_, sizes) in GENERATORS.items() for size in sizes),
)
RECORDED = LATENT


def networks(checkout: Path) -> dict[str, Any]:
    """Returns what the generators compute."""
    packages = {}
    for name in ("torch_mimicry", "torch_mimicry.nets"):
        packages[name] = ModuleType(name)
        packages[name].__path__ = [str(checkout.absolute() / name.replace(".", "/"))]
    found = {}
    with driving(checkout, kind=torch.float32), stand_ins(**packages):
        for package, (title, sizes) in GENERATORS.items():
            module = importlib.import_module(f"torch_mimicry.nets.{package}")
            for size, width in sizes.items():
                generator = getattr(module, f"{title}Generator{size}")(nz=12, ngf=width)
                found[f"mimicry-{package}-{size}"] = record_of(generator, latents("a latent", 12))
    return found
