"""``gancli models``: the models that can be called by a name."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

from typer import Argument, echo

from gancli import console
from gancli.cli import options
from gancli.domains import Domain
from gancli.errors import GancliError
from gancli.modelfile import find_model, known_models, model_directories, read_info

_COLOURS = {1: "grey", 3: "RGB"}


def models(
    name: Annotated[
        str | None,
        Argument(
            metavar="MODEL",
            help="Show this one: a name, a model file or a run directory.",
            autocompletion=options.complete_model,
        ),
    ] = None,
    json_: options.Json = False,
) -> None:
    """List the models in ./runs and $GANCLI_HOME/models, or show one of them."""
    if name is not None:
        path = find_model(name)
        known = {"path": str(path), **asdict(read_info(path))}
        if json_:
            echo(json.dumps(known, indent=1))
            return
        import yaml

        echo(yaml.safe_dump(known, sort_keys=False), nl=False)
        return
    listed: list[dict[str, Any]] = []
    for found, path in known_models().items():
        try:
            info = read_info(path)
        except GancliError as error:
            console.warn(error.message)
            continue
        listed.append(
            {
                "name": found,
                "architecture": info.architecture,
                "images": {name: _shape(domain) for name, domain in info.inputs.domains.items()},
                "step": info.step,
                "images_shown": info.images_shown,
                "grown_to": info.grown_to,
                "path": str(path),
            }
        )
    if json_:
        echo(json.dumps(listed, indent=1))
    elif listed:
        rows = []
        for model in listed:
            images = dict.fromkeys(_format(sizes, model["grown_to"]) for sizes in model["images"].values())
            steps = f"{model['step']:,}" if model["step"] else "imported"
            rows.append([model["name"], model["architecture"], "; ".join(images), steps, model["path"]])
        console.table(["name", "architecture", "images", "steps", "path"], rows)
    else:
        places = " and ".join(str(directory) for directory in model_directories())
        console.note(f"no models in {places}; make one: gancli train dcgan-shapes --data shapes")


def _shape(domain: Domain) -> dict[str, int]:
    """Returns the sizes of a domain's items, by name."""
    names = {"image": ("channels", "height", "width"), "mask": ("height", "width"), "points": ("values",)}
    return dict(zip(names[domain.kind], domain.shape, strict=True))


def _format(sizes: dict[str, int], grown_to: int | None) -> str:
    if "values" in sizes:
        return f"points of {sizes['values']} values"
    height, width = sizes["height"], sizes["width"]
    size = f"{width} px" if width == height else f"{width}x{height} px"
    grown = f"{grown_to} of " if grown_to is not None and grown_to < height else ""
    channels = sizes.get("channels")
    if channels is None:
        return f"{grown}{size}, masks"
    return f"{grown}{size}, {_COLOURS.get(channels, f'{channels} channels')}"
