"""Options and completions that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from gancli.errors import GancliError
from gancli.importers import importer_names
from gancli.modelfile import known_models
from gancli.registry import preset_paths

if TYPE_CHECKING:
    from gancli.architectures.base import Architecture
    from gancli.modelfile import ModelInfo


def complete_preset(incomplete: str) -> list[str]:
    """Returns the presets that begin with what was typed, for shell completion."""
    return [name for name in preset_paths() if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Returns the models that begin with what was typed."""
    return [name for name in known_models() if name.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """Returns the runs in ./runs that begin with what was typed."""
    names = [path.parent.name for path in sorted(Path("runs").glob("*/config.yaml"))]
    return [name for name in names if name.startswith(incomplete)]


def complete_importer(incomplete: str) -> list[str]:
    """Returns the architectures with an importer that begin with what was typed."""
    return [name for name in importer_names() if name.startswith(incomplete)]


# Of train and resume; None leaves a setting as it is.
Device = Annotated[str | None, Option("--device", metavar="D", help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[str | None, Option(metavar="fp32|bf16|fp16", help="Arithmetic of the networks.")]
Workers = Annotated[int | None, Option(metavar="N", help="Loader processes.  [default: 0 on a CPU, 2 on a GPU]")]
Keep = Annotated[int | None, Option(metavar="N", help="Checkpoints to keep.")]

Json = Annotated[bool, Option("--json", help="Print JSON, for scripts.")]
Model = Annotated[
    str, Argument(metavar="MODEL", help="Name, run directory or model file.", autocompletion=complete_model)
]
Seeds = Annotated[str | None, Option(metavar="LIST", help="Seeds: numbers and ranges, as 0,1,4-6.")]
Seed = Annotated[int | None, Option(metavar="N", help="Seed of what is drawn at random; with -n, of the first image.")]
Class = Annotated[
    str | None,
    Option("--class", metavar="NAME", help="Class by name or number, or one for each image, separated by commas."),
]
Trunc = Annotated[
    float | None,
    Option(
        metavar="T",
        help="Less variety. Style models: psi, from 1 (all) to 0 (the mean). Others: redraw latents beyond +-T.",
    ),
]
Cutoff = Annotated[int | None, Option(metavar="N", help="Truncate the first N layers only (style models).")]
Noise = Annotated[
    str | None,
    Option(metavar="const|random|none", help="Noise of style models; random depends on the seed.  [default: const]"),
]
Latents = Annotated[
    Path | None,
    Option(metavar="FILE.npy", help="Instead of seeds: latents [N, Z], or styles [N, W], [N, L, W]."),
]
To = Annotated[str | None, Option(metavar="DOMAIN", help="Domain to translate into.  [default: the model's last]")]
Output = Annotated[
    str | None,
    Option("-o", "--output", metavar="OUT", help="File, whose suffix is the format; directory; or - for stdout."),
]
Format = Annotated[
    str | None,
    Option("--format", metavar="F", help="png, jpg, webp or npy, for a directory or -.  [default: png]"),
]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace existing files.")]
Batch = Annotated[
    int | None, Option(metavar="N", help="Images computed at a time.  [default: 64, fewer if they are large]")
]
Range = Annotated[
    str | None,
    Option(
        "--range",
        metavar="LO,HI",
        help="Numbers that are black and white in images of more than 8 bits, as data.range.  [default: automatic]",
    ),
]
AutoDevice = Annotated[str, Option("--device", metavar="D", help="auto, cpu, cuda, cuda:N or mps.")]
Features = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="inception, vgg16, clip, dinov2, torchvision:NAME, or a TorchScript or torch.export file, "
        "which is a program (--trust).  [default: inception; vgg16 for prc]",
    ),
]
Weights = Annotated[Path | None, Option(metavar="FILE", help="Weights of --features, from a file.")]
Trust = Annotated[
    bool,
    Option("--trust", help="Allow the TorchScript or torch.export files named here to run: programs, now and later."),
]


def parse_range(text: str | None) -> tuple[float, float] | None:
    """Returns the numbers of ``--range``, None if it is automatic; raises ``GancliError`` if they are not a range."""
    from gancli.schema import DataConfig

    if text is None or text == "auto":
        return None
    try:
        return DataConfig(range=tuple(map(float, text.strip("[]").split(",")))).limits
    except ValueError as error:
        raise GancliError(f"--range {text}: must be two numbers, the smaller one first", "--range 0,4095") from error


def range_for(text: str | None, info: ModelInfo) -> tuple[float, float] | None:
    """Returns the numbers of ``--range``, or those that the model was trained with."""
    from gancli.schema import DataConfig

    return DataConfig.model_validate(info.config.get("data", {})).limits if text is None else parse_range(text)


def wrong_model(model: str, loaded: Architecture, info: ModelInfo, lack: str) -> GancliError:
    """Returns the error of a command that needs another kind of model; the hint has the commands for this kind.

    Args:
        model: what the user typed.
        loaded: the model.
        info: its description.
        lack: what it cannot do, for instance ``"has no styles"``.
    """
    from gancli.architectures.base import LatentModel, StyleModel, Translator

    commands = []
    if isinstance(loaded, LatentModel):
        points = any(domain.kind == "points" for domain in info.inputs.domains.values())
        able = ("sample",) if points else ("sample", "interpolate", "truncate")
        commands = [f"gancli {command} {model}" for command in able]
    if isinstance(loaded, StyleModel):
        commands.append(f"gancli style-mix {model} --rows 0-2 --cols 3-6")
    if isinstance(loaded, Translator):
        commands = [f"gancli translate {model} IMAGE"]
    return GancliError(f"{model} is a {info.architecture}, which {lack}", ", or ".join(commands))
