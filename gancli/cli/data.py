"""``gancli data``: what a SOURCE is, before hours go into training on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gancli.cli.options import Json

if TYPE_CHECKING:
    from gancli.data.source import Source

SHOWN = 20


def data(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Folder, zip, tar, npz, `shapes`, or a data set such as `mnist`.")
    ],
    split: Annotated[str, typer.Option("--split", metavar="train|test|all", help="Part to look at.")] = "train",
    as_json: Json = False,
) -> None:
    """Say what a data source holds, what in it is broken, and which architectures can train on it.

    Every image is decoded, as training would do. Broken images do not make this fail.
    """
    import json

    from gancli import console
    from gancli.data.source import open_source
    from gancli.errors import GancliError

    if split not in ("train", "test", "all"):
        raise GancliError(f"--split {split}: unknown", "train, test or all")
    found = open_source(source, split)
    report = _report(found, split)
    if as_json:
        typer.echo(json.dumps(report, indent=1))
        return
    rows = [["layout", found.layout]]
    for domain in report["domains"]:
        name = f"{domain['name']}: " if len(report["domains"]) > 1 else ""
        rows.append(["images", f"{name}{domain['images']:,}, {domain['sizes']}, {domain['colours']}"])
    if found.classes:
        kind = "classes" if found.labels is None or found.labels.ndim == 1 else "attributes"
        rows.append([kind, f"{len(found.classes)}: {_few(list(found.classes))}"])
    rows += [["note", note] for note in found.notes]
    rows.append(["broken", f"{len(report['bad'])}" if report["bad"] else "none"])
    rows += [["", f"{bad['name']}: {bad['reason']}"] for bad in report["bad"][:SHOWN]]
    rows += [["", f"and {len(report['bad']) - SHOWN} more (--json lists all)"]] if len(report["bad"]) > SHOWN else []
    rows += [
        ["architecture", f"{name}: {reason or 'can train on it'}"] for name, reason in report["architectures"].items()
    ]
    console.table([source, ""], rows)


def _report(source: Source, split: str) -> dict[str, Any]:
    """Decodes every image and returns what was found, as plain values."""
    from collections import Counter

    from gancli import console
    from gancli.data.source import BadImage, check, open_source
    from gancli.data.threads import in_threads
    from gancli.registry import architecture_names, load_architecture

    total = sum(len(images) for images in source.domains.values())
    domains, bad = [], []
    with console.progress(f"reading {source.location}", total) as bar:
        for name, images in source.domains.items():
            sizes: Counter[tuple[int, int]] = Counter()
            colours: Counter[str] = Counter()
            decoded = in_threads(lambda index, images=images: images.read(index, 3), len(images))  # type: ignore[misc]
            for index, pixels in enumerate(decoded):
                if isinstance(pixels, BadImage):
                    bad.append({"name": images.name(index), "reason": str(pixels)})
                else:
                    sizes[pixels.shape[1], pixels.shape[0]] += 1
                    grey = (pixels == pixels[:, :, :1]).all()
                    colours["grey" if grey else "colour"] += 1
                bar.advance(1)
            domains.append({"name": name, "images": len(images), "sizes": _sizes(sizes), "colours": _counted(colours)})
    # Where a source can be read in two ways, an architecture for one set of images takes the other one.
    readings = {False: source}
    architectures = {}
    for name in architecture_names():
        needs = load_architecture(name).needs
        one_set = needs.domains == 1
        if one_set not in readings:
            readings[one_set] = open_source(source.location, split, one_set=one_set)
        architectures[name] = check(readings[one_set], needs)
    return {
        "source": source.location,
        "layout": source.layout,
        "domains": domains,
        "classes": list(source.classes),
        "paired": source.paired,
        "notes": list(source.notes),
        "bad": bad,
        "architectures": architectures,
    }


def _sizes(sizes: Any) -> str:
    if not sizes:
        return "none readable"
    if len(sizes) == 1:
        ((width, height),) = sizes
        return f"{width} x {height} px"
    areas = sorted(sizes, key=lambda size: size[0] * size[1])
    return f"{len(sizes)} sizes from {areas[0][0]} x {areas[0][1]} to {areas[-1][0]} x {areas[-1][1]} px"


def _counted(colours: Any) -> str:
    if len(colours) == 1:
        return str(next(iter(colours)))
    return ", ".join(f"{count:,} {name}" for name, count in colours.most_common())


def _few(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
