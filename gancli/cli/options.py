"""Options and completions that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancli.errors import GancliError
from gancli.importers import importer_names
from gancli.modelfile import known_models
from gancli.registry import preset_paths

if TYPE_CHECKING:
    from gancli.architectures.base import Architecture
    from gancli.modelfile import ModelInfo

Device = Annotated[str | None, typer.Option("--device", metavar="D", help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[
    str | None, typer.Option("--precision", metavar="fp32|bf16|fp16", help="Arithmetic of the networks.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Loader processes.  [default: 0 on a CPU, 2 on a GPU]")
]
Keep = Annotated[int | None, typer.Option("--keep", metavar="N", help="Checkpoints to keep.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def complete_preset(incomplete: str) -> list[str]:
    """Returns the presets that begin with what was typed, for shell completion."""
    return [name for name in preset_paths() if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Returns the models that begin with what was typed."""
    return [name for name in known_models() if name.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """Returns the runs in ./runs that begin with what was typed."""
    return [
        path.parent.name
        for path in sorted(Path("runs").glob("*/config.yaml"))
        if path.parent.name.startswith(incomplete)
    ]


def complete_importer(incomplete: str) -> list[str]:
    """Returns the architectures with an importer that begin with what was typed."""
    return [name for name in importer_names() if name.startswith(incomplete)]


Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Name, run directory or model file.", autocompletion=complete_model)
]
Latents = Annotated[
    Path | None,
    typer.Option(
        "--latents", metavar="FILE.npy", help="Instead of seeds: latents [N, Z], or styles [N, W], [N, L, W]."
    ),
]
Cutoff = Annotated[
    int | None, typer.Option("--cutoff", metavar="N", help="Truncate the first N layers only (style models).")
]
Noise = Annotated[
    str | None,
    typer.Option(
        "--noise",
        metavar="const|random|none",
        help="Noise of style models; random goes by the seed.  [default: const]",
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="F", help="png, jpg, webp or npy, for a directory or -.  [default: png]"),
]
Batch = Annotated[
    int | None,
    typer.Option("--batch", metavar="N", help="Images computed at a time.  [default: 64, fewer of large ones]"),
]
AutoDevice = Annotated[str, typer.Option("--device", metavar="D", help="auto, cpu, cuda, cuda:N or mps.")]


Features = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="NAME",
        help="inception, vgg16, clip, dinov2, torchvision:NAME, or a TorchScript or torch.export file.  "
        "[default: inception; vgg16 for prc]",
    ),
]
Weights = Annotated[Path | None, typer.Option("--weights", metavar="FILE", help="Weights of --features, from a file.")]


def wrong_model(model: str, loaded: Architecture, info: ModelInfo, lack: str) -> GancliError:
    """Returns the error of a command that needs another kind of model; the hint has the commands that this one knows.

    Args:
        model: what the user typed.
        loaded: the model.
        info: its description.
        lack: what is wrong with it, for instance ``"has no styles"``.
    """
    from gancli.architectures.base import LatentModel, StyleModel, Translator

    commands = []
    if isinstance(loaded, LatentModel):
        commands = [f"gancli {command} {model}" for command in ("sample", "interpolate", "truncate")]
        if isinstance(loaded, StyleModel):
            commands.append(f"gancli style-mix {model} --rows 0-2 --cols 3-6")
    elif isinstance(loaded, Translator):
        commands = [f"gancli translate {model} IMAGE"]
    return GancliError(f"{model} is a {info.architecture}, which {lack}", ", or ".join(commands))
