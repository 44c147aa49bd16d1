"""``gancli data``: what a SOURCE is, before hours go into training on it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gancli.cli.options import Json, Range, parse_range
from gancli.errors import GancliError, check_between, some

if TYPE_CHECKING:
    from gancli.data.source import Images, Source

SHOWN = 20
IMAGES, POINTS = 64, 1_000
"""How many -o writes by default."""


def data(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Folder, zip, tar, npz, npy, `shapes`, `toy:ring`, or a data set such as `mnist`."
        ),
    ],
    split: Annotated[str, typer.Option("--split", metavar="train|test|all", help="Part to look at.")] = "train",
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Write the first images as networks see them, instead of a report: "
            "file (.png .jpg .webp: a grid, of points a plot; .npy), directory (a file each), or -.",
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", metavar="N", help="Images of each domain for -o.  [default: 64; 1000 points]")
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(
            "--resolution",
            metavar="N",
            help="Height and width for -o.  [default: 64; small square images keep their size]",
        ),
    ] = None,
    range_: Range = None,
    as_json: Json = False,
) -> None:
    """Inspect a data source: contents, broken images, and the architectures that can train on it.

    Every image is decoded, as in training. Broken images do not make the command fail.
    """
    import json

    from gancli import console
    from gancli.data.opening import open_source

    if split not in ("train", "test", "all"):
        raise GancliError(f"--split {split}: unknown", "choose train, test or all")
    for option, given in (("-n", n), ("--resolution", resolution)):
        if given is not None and output is None:
            raise GancliError(f"{option} needs -o", f"gancli data {source} {option} {given} -o seen.png")
    limits = parse_range(range_)
    if output is not None:
        if as_json:
            raise GancliError("--json prints the report, and -o writes images instead of it", "leave one of them out")
        _show(open_source(source, split, limits=limits), output, n, resolution)
        return
    report = _report(source, split, limits)
    if as_json:
        typer.echo(json.dumps(report, indent=1))
        return
    rows = _rows("layout", report)
    for reading in report["other_readings"]:  # lines that the first reading has too are left out
        said = {key: [line for line in reading[key] if line not in report[key]] for key in ("notes", "bad")}
        rows += _rows("or", {**reading, **said, "has_test": False})
    for name, reason in report["architectures"].items():
        rows.append(["architecture", f"{name}: {reason or 'can train on it' + report['read_as'].get(name, '')}"])
    console.table([source, ""], rows)


def _show(source: Source, output: str, n: int | None, resolution: int | None) -> None:
    """Writes the first images of a source, or a plot of its first points."""
    from gancli import console
    from gancli.cli.output import write_images, write_points
    from gancli.cli.targets import choose_target
    from gancli.data.source import PointCloud

    check_between("-n", n, 1)
    if resolution is not None and not 4 <= resolution <= 2048:
        raise GancliError(f"--resolution {resolution}: must be between 4 and 2048")
    target = choose_target(output, None, default="seen.png")

    cloud = next(iter(source.domains.values()))
    if isinstance(cloud, PointCloud) and len(source.domains) == 1:
        import torch

        if resolution is not None:
            raise GancliError("--resolution has no effect on points", "leave it out")
        write_points(target, torch.from_numpy(cloud.values[: n or POINTS]), None, "data")
        return

    from gancli.data.seen import look_at

    seen = look_at(source, IMAGES if n is None else n, resolution)
    write_images(target, seen.names, [seen.images], seen.columns, "writing")
    if seen.order and target.kind != "directory":
        console.note(seen.order)


def _rows(title: str, reading: dict[str, Any]) -> list[list[str]]:
    rows = [[title, reading["layout"]]]
    for domain in reading["domains"]:
        name = f"{domain['name']}: " if len(reading["domains"]) > 1 else ""
        what = "points" if domain["name"] == "points" else "images"
        rows.append([what, f"{name}{domain['images']:,}, {domain['sizes']}, {domain['colours']}"])
    if reading["classes"]:
        kind = "attributes" if reading["attributes"] else "classes"
        rows.append([kind, f"{len(reading['classes'])}: {some(reading['classes'], 8)}"])
    if reading["has_test"]:
        rows.append(["test part", "yes (--split test shows it)"])
    rows += [["note", note] for note in reading["notes"]]
    for what, found in (("broken", reading["bad"]), ("unequal pairs", reading["unequal"])):
        if found or (what == "broken" and title == "layout"):
            rows.append([what, f"{len(found):,}" if found else "none"])
        rows += [["", f"{image['name']}: {image['reason']}"] for image in found[:SHOWN]]
        rows += [["", f"and {len(found) - SHOWN:,} more (--json lists all)"]] if len(found) > SHOWN else []
    return rows


def _report(location: str, split: str, limits: tuple[float, float] | None) -> dict[str, Any]:
    """Decodes every image and returns what was found, as plain values."""
    from gancli.data.opening import open_source
    from gancli.data.source import check
    from gancli.registry import architecture_names, load_architecture

    source = open_source(location, split, limits=limits)
    # A source that can be read in several ways is opened as each architecture would read it.
    readings: dict[tuple[int, bool], Source | str] = {}
    architectures: dict[str, str | None] = {}
    ways: dict[str, Source] = {}
    others: dict[str, Source] = {}
    for name in architecture_names():
        kind = load_architecture(name)
        inputs = kind.inputs(kind.Config())
        way = len(inputs.domains), inputs.paired
        if way not in readings:
            try:
                readings[way] = open_source(location, split, inputs=inputs, limits=limits)
            except GancliError as error:
                readings[way] = error.message
        reading = readings[way]
        architectures[name] = reading if isinstance(reading, str) else check(reading, inputs)
        if not isinstance(reading, str) and reading.layout != source.layout and architectures[name] is None:
            ways[name] = reading
            if reading.paired:  # pairs may be broken where single images are not
                others[reading.layout] = reading
    found = _examine(source)
    examined = {layout: _examine(reading) for layout, reading in others.items()}
    read_as: dict[str, str] = {}
    for name, reading in ways.items():
        broken = {image["name"] for image in examined.get(reading.layout, found)["bad"]}
        counts = [f"{domain} {_readable(images, broken):,}" for domain, images in reading.domains.items()]
        read_as[name] = f", read as {reading.layout}" + (f": {', '.join(counts)}" if len(counts) > 1 else "")
    if empty := [domain["name"] for domain in found["domains"] if not domain["images"]]:
        reason = f"no image of {' and '.join(empty) if len(found['domains']) > 1 else location} can be read"
        architectures = {name: known or reason for name, known in architectures.items()}
    return {
        "source": location,
        **found,
        "other_readings": list(examined.values()),
        "architectures": architectures,
        "read_as": read_as,
    }


def _readable(images: Images, broken: set[str]) -> int:
    """Returns the number of images that are not broken."""
    return sum(images.name(index) not in broken for index in range(len(images))) if broken else len(images)


def _examine(source: Source) -> dict[str, Any]:
    """Decodes every image of one reading of a source."""
    from gancli import console
    from gancli.data.source import BadImage, PointCloud, same_proportions
    from gancli.data.threads import in_threads

    total = sum(len(images) for images in source.domains.values())
    domains = []
    bad: dict[tuple[str, str], None] = {}  # an ordered set: two halves of one image are broken alike
    sizes: dict[str, list[tuple[int, int] | None]] = {}
    with console.progress(f"reading {source.location}", total) as bar:
        for name, images in source.domains.items():
            sizes[name] = []
            if isinstance(images, PointCloud):
                span = f"from {images.values.min():.4g} to {images.values.max():.4g}"
                size = f"{images.values.shape[1]} numbers each"
                domains.append({"name": name, "images": len(images), "sizes": size, "colours": span})
                sizes[name] = [None] * len(images)
                bar.advance(len(images))
                continue
            colours: Counter[str] = Counter()
            channels = source.channels.get(name, 3)
            for index, pixels in enumerate(in_threads(partial(images.read, channels=channels), len(images))):
                if isinstance(pixels, BadImage):
                    bad[images.name(index), str(pixels)] = None
                    sizes[name].append(None)
                else:
                    sizes[name].append((pixels.shape[1], pixels.shape[0]))
                    grey = (pixels == pixels[:, :, :1]).all()
                    colours[f"{channels} channels" if channels > 4 else "grey" if grey else "colour"] += 1
                bar.advance(1)
            known = list(dict.fromkeys(size for size in sizes[name] if size is not None))
            good = colours.total()
            domains.append({"name": name, "images": good, "sizes": _sizes(known), "colours": _counted(colours)})
    unequal = []
    first, *others = source.domains if source.paired else [""]
    for second in others:
        for index, (one, other) in enumerate(zip(sizes[first], sizes[second], strict=True)):
            if one is not None and other is not None and not same_proportions(one, other):
                sides = f"{one[0]} x {one[1]} px, but {other[0]} x {other[1]} in {second}"
                reason = f"{sides} (needs data.resize=stretch)"
                unequal.append({"name": source.domains[first].name(index), "reason": reason})
    return {
        "layout": source.layout,
        "domains": domains,
        "classes": list(source.classes),
        "attributes": source.labels is not None and source.labels.ndim == 2,
        "paired": source.paired,
        "has_test": source.has_test,
        "notes": [*source.notes, *source.facts.notes()],
        "bad": [{"name": name, "reason": reason} for name, reason in bad],
        "unequal": unequal,
    }


def _sizes(sizes: list[tuple[int, int]]) -> str:
    if not sizes:
        return "none readable"
    if len(sizes) == 1:
        ((width, height),) = sizes
        return f"{width} x {height} px"
    areas = sorted(sizes, key=lambda size: size[0] * size[1])
    return f"{len(sizes)} sizes from {areas[0][0]} x {areas[0][1]} to {areas[-1][0]} x {areas[-1][1]} px"


def _counted(colours: Counter[str]) -> str:
    if len(colours) == 1:
        return next(iter(colours))
    return ", ".join(f"{count:,} {name}" for name, count in colours.most_common())
