"""What the tests of data make: trees of small images, archives, arrays."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from gancli.data.opening import open_source
from gancli.data.source import Source
from gancli.domains import Domain, Inputs


def png(value: int = 0, side: int = 4) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (value, value, value)).save(out, "PNG")
    return out.getvalue()


def tree(root: Path, names: list[str] | str) -> Path:
    """Makes files below ``root``; the images among them are grey, each of its own value from 1 on."""
    value = 0
    for name in names.split() if isinstance(names, str) else names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".png", ".PNG"):
            value += 1
            path.write_bytes(png(value))
        else:
            path.write_text("not an image")
    return root


def zipped(folder: Path, prefix: str = "") -> Path:
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, prefix + str(path.relative_to(folder)))
    return target


def tarred(folder: Path, ending: str, prefix: str = "./") -> Path:
    target = folder.with_suffix(ending)
    with tarfile.open(target, f"w:{ending.rpartition('.')[2].replace('tar', '').replace('tgz', 'gz')}") as archive:
        archive.add(folder, prefix)
    return target


def values(source: Source, domain: str = "image") -> list[int]:
    images = source.domains[domain]
    return [int(images.read(index, 1)[0, 0, 0]) for index in range(len(images))]


def short(source: Source, domain: str = "image") -> list[str]:
    images = source.domains[domain]
    return [Path(images.name(index)).name for index in range(len(images))]


SPLIT = "train/b/1.png train/a/1.png train/a/2.png test/a/3.png test/c/4.png"


IMAGE = Domain((3, 8, 8))
ONE, CLASSES = Inputs({"image": IMAGE}), Inputs({"image": IMAGE}, labels="class")
UNPAIRED, PAIRS = (Inputs({"A": IMAGE, "B": IMAGE}, paired=paired) for paired in (False, True))


SIDES = "trainA/1.png trainA/2.png trainB/2.png trainB/1.png testA/3.png testB/3.png"


def domains(source: Source) -> dict[str, list[int]]:
    return {name: values(source, name) for name in source.domains}


def side_by_side(root: Path, sizes: list[tuple[int, int]]) -> Path:
    """Images whose left half has the value 2 * i and whose right half 2 * i + 1."""
    root.mkdir(parents=True)
    for i, (width, height) in enumerate(sizes):
        image = np.full((height, width, 3), 2 * i % 200, np.uint8)
        image[:, width // 2 :] += 1
        Image.fromarray(image).save(root / f"{i}.png")
    return root


def stylegan(root: Path, labels: object) -> Source:
    tree(root, "00000/img1.png 00000/img2.png 00001/img3.png")
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    return open_source(str(root))


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


DIGITS = np.arange(5 * 28 * 28).reshape(5, 28, 28).astype(np.uint8)


def npz(path: Path, split: str = "train", **arrays: np.ndarray) -> Source:
    np.savez(path / "data.npz", **arrays)
    return open_source(str(path / "data.npz"), split)


RGB = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
