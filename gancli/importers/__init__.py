"""Checkpoints of official implementations: one file each, named like the architecture, with its key map.

Such a file has ``KIND`` (what it reads, for the refusal) and ``convert(state) -> Imported``.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path


def importer_names() -> list[str]:
    """Returns the architectures whose official checkpoints can be imported."""
    modules = {info.name.replace("_", "-") for info in pkgutil.iter_modules(__path__)}
    return sorted(modules - {"reading"})


def import_checkpoint(architecture: str, path: Path) -> bytes:
    """Returns the content of a model file for a foreign checkpoint.

    Raises:
        GancliError: the file cannot be read, or is not of this architecture.
    """
    from gancli import config, modelfile, registry
    from gancli.importers.reading import DoesNotFit, read_state_dicts, refusal

    importer = importlib.import_module(f"gancli.importers.{architecture.replace('-', '_')}")
    misfits = []
    for key, state in read_state_dicts(path):
        try:
            imported = importer.convert(state)
        except DoesNotFit as misfit:
            misfits.append((key, misfit))
            continue
        resolved = config.resolve(
            architecture, flags={f"model.{key}": (value, str(path)) for key, value in imported.model.items()}
        )
        info = modelfile.describe(
            architecture,
            resolved,
            networks=imported.networks,
            shapes=registry.load_architecture(architecture).input_shapes(resolved.model),
            origin=path.name,
        )
        return modelfile.to_bytes(info, imported.tensors)
    nearest, problems = min(misfits, key=lambda found: len(found[1].problems))
    raise refusal(path, importer.KIND, nearest, problems)
