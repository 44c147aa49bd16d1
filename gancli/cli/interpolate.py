"""``gancli interpolate``: a film that goes from seed to seed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from typer import Option

from gancli import console
from gancli.cli import options
from gancli.cli.latent import choose_points, open_model
from gancli.cli.output import default_name, output_file, write_images, write_in_directory
from gancli.cli.seeds import MOST, parse_seeds
from gancli.cli.targets import MOVING, choose_target
from gancli.errors import GancliError, check_between, check_known
from gancli.modelfile import find_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

FASTEST = {"mp4": 240, "webp": 240, "gif": 50}
"""Largest number of frames per second, by format."""
FRAMES, FRAMES_IN_STRIP = 60, 8
FPS = 30


def interpolate(
    model: options.Model,
    seeds: options.Seeds = None,
    latents: options.Latents = None,
    class_: options.Class = None,
    frames: Annotated[
        int | None, Option(metavar="N", help="Frames from one seed to the next.  [default: 60; in a strip 8]")
    ] = None,
    space: Annotated[
        str | None,
        Option(
            metavar="z|w",
            help="Go between latents or styles; with --latents: what FILE holds.  [default: w for style models]",
        ),
    ] = None,
    path: Annotated[
        str | None,
        Option(
            metavar="slerp|lerp", help="On the sphere, or straight.  [default: slerp for normal latents, else lerp]"
        ),
    ] = None,
    smooth: Annotated[bool, Option("--smooth", help="Go through the seeds in a curve, without sharp turns.")] = False,
    loop: Annotated[bool, Option("--loop", help="Return to the first seed at the end.")] = False,
    grid: Annotated[str, Option(metavar="CxR", help="C x R paths side by side, which share the seeds.")] = "1x1",
    fps: Annotated[
        int | None, Option(metavar="N", help="Frames per second of .mp4, .webp and .gif.  [default: 30]")
    ] = None,
    trunc: options.Trunc = None,
    cutoff: options.Cutoff = None,
    noise: options.Noise = None,
    output: options.Output = None,
    format_: Annotated[
        str | None,
        Option(
            "--format",
            metavar="F",
            help="mp4, webp, gif, png, jpg or npy, for a directory or -.  [default: mp4; png for a directory]",
        ),
    ] = None,
    batch: options.Batch = None,
    device: options.AutoDevice = "auto",
) -> None:
    """Go from seed to seed, and print the path of the film.

    With --frames 60, three seeds make 121 frames: 60 from each to the next, and the last seed. With --loop they make
    180, including the way back to the first seed, which is not repeated at the end. Without --seeds, each path goes
    through three. --grid 3x2 plays six paths, the first through the first sixth of the seeds, and so on. A single seed
    with several classes goes from class to class.

    With --noise random every frame has its own noise.

    -o takes .mp4 (H.264), .webp and .gif. A .mp4 or .webp enlarges small images by a whole factor, to 256 pixels or
    more. A .png or .jpg is a strip: the frames side by side, a row for each path. A directory gets a file per frame. A
    .npy holds float32 [N, C, H, W] in [-1, 1], of one path. A strip, a .gif and a .webp need more memory for more
    frames; the others do not.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", grid)
    if match is None:
        raise GancliError(f"--grid {grid}: must be columns x rows", "--grid 3x2")
    columns, cells = int(match[1]), int(match[1]) * int(match[2])
    if 2 * cells > MOST:
        raise GancliError(f"--grid {grid}: its paths need more than {MOST:,} seeds", "--grid 3x2")
    check_between("--frames", frames, 1, MOST)
    check_between("--fps", fps, 1, MOST)
    check_known("--path", path, ("slerp", "lerp"))
    if seeds is not None and latents is not None:
        raise GancliError("--seeds and --latents cannot be combined", "leave one of them out")
    wanted = parse_seeds(seeds) if seeds is not None else list(range(3 * cells)) if latents is None else []
    file = find_model(model)
    target = choose_target(output, format_, default=default_name(file, "-interpolate", wanted, ".mp4"), suffixes=MOVING)
    in_strip = target.kind != "directory" and target.format in ("png", "jpg")
    if target.kind == "directory" or target.format not in FASTEST:
        if fps is not None:
            what = "single frames" if target.kind == "directory" else f"a {target.format}"
            console.warn(f"--fps has no effect on {what}")
    elif fps is not None and fps > FASTEST[target.format]:
        raise GancliError(f"--fps {fps}: a {target.format} plays at most {FASTEST[target.format]} frames per second")
    if cells > 1 and target.format == "npy":
        raise GancliError(f"--grid {grid}: a .npy file holds a single path", "-o x.mp4")

    from gancli.generation.between import BLENDS, Paths, natural
    from gancli.generation.video import write_film
    from gancli.generation.writers import encode

    opened = open_model(model, file, device, batch=batch, trunc=trunc, cutoff=cutoff, noise=noise, space=space)
    points, _ = choose_points(opened, wanted, class_, latents=latents)
    if len(points) % cells or len(points) < 2 * cells:
        need = "a path needs at least two seeds"
        if cells > 1:
            need = f"--grid {grid}: {cells} paths need the same number of seeds each, at least two"
        given = f"{'--seeds' if latents is None else latents} gives {len(points)}"
        raise GancliError(f"{need}, but {given}", f"--seeds 0-{3 * cells - 1}")
    if opened.renderer.styled is not None and space != "z":
        points = opened.renderer.styles(points)
    blend = BLENDS[path] if path else natural(opened.renderer.model, points.space)
    frames = frames or (FRAMES_IN_STRIP if in_strip else FRAMES)
    paths = Paths(points, cells, frames, blend, loop=loop, smooth=smooth, one_by_one=in_strip)
    images = opened.renderer.images(paths)
    if in_strip or target.format == "npy":
        names = [f"frame{index:05d}" for index in range(len(paths))]
        write_images(target, names, images, paths.frames, "interpolating")
        return
    with console.progress("interpolating", paths.frames) as bar:
        shown = _frames(images, cells, columns, bar)
        if target.kind == "directory":
            for index, frame in enumerate(shown):
                write_in_directory(target, f"frame{index:05d}", encode(frame, target.format))
        else:
            with output_file(target) as out:
                streamed = target.kind == "stream" or not out.seekable()
                write_film(out, shown, target.format, fps or FPS, streamed=streamed)


def _frames(images: Iterable[Tensor], cells: int, columns: int, bar: console.Progress) -> Iterator[NDArray[np.uint8]]:
    """Yields frames uint8 [H, W, C], each of the next ``cells`` images."""
    import numpy as np

    from gancli.generation.writers import grid, to_pixels

    frame: list[NDArray[np.uint8]] = []
    for part in images:
        for image in to_pixels(part):
            frame.append(image)
            if len(frame) == cells:
                yield grid(np.stack(frame), columns)
                bar.advance()
                frame = []
