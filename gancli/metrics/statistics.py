"""Features of many images: kept on disk while they are extracted, reduced to moments, saved and read again."""

from __future__ import annotations

import json
import os
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gancli.errors import GancliError, RunError
from gancli.files import DAMAGED, parse_json, replacing

ROWS = 4096
"""Rows of features in memory at a time."""

SMALL = 2**26
MOST_COMPRESSED = 100
"""An archive is refused if it has more than ``SMALL`` bytes, and so many times its own size, inside."""
SAID: Mapping[str, Any] = {"classes": [], "unreadable": {}, "images": 0}
"""Entries of the protocol that others rely on, of the type that they have."""

Floats = NDArray[np.float32]


@contextmanager
def _naming_the_folder() -> Iterator[None]:
    """Makes errors name the folder of temporary files, since the file itself has no name."""
    try:
        yield
    except OSError as error:
        error.filename = f"{tempfile.gettempdir()}, the folder of temporary files"
        raise


class Spool:
    """Rows of float32 in a file without a name: a process leaves nothing behind, however it ends."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="gancli-features-")  # noqa: SIM115 - it lives as long as this
        self._columns = 0

    def add(self, rows: Floats) -> None:
        """Appends rows [n, D]; raises ``GancliError`` if earlier rows have another D."""
        if self._columns not in (0, rows.shape[1]):
            raise GancliError(
                f"the network returned {rows.shape[1]} features for one image and {self._columns} for another",
                "it must return the same number for images of any size",
            )
        self._columns = rows.shape[1]
        with _naming_the_folder():
            self._file.write(np.ascontiguousarray(rows, np.float32).tobytes())

    def read(self) -> Floats:
        """Returns all rows, [N, D], as a view of the file."""
        with _naming_the_folder():
            self._file.flush()
        if not self._columns:
            return np.empty((0, 0), np.float32)
        return np.memmap(self._file, np.float32, "c").reshape(-1, self._columns)


class Moments(NamedTuple):
    """Mean [D] and covariance [D, D] of features, float64, and the number of images; 0 if it is not known."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    images: int


def moments(features: Floats) -> Moments:
    """Returns the moments of features [N, D], N at least 2; the covariance is divided by N - 1."""
    count, width = features.shape
    parts = [slice(first, first + ROWS) for first in range(0, count, ROWS)]
    mean = sum((features[part].sum(axis=0, dtype=np.float64) for part in parts), np.zeros(width)) / count
    covariance = np.zeros((width, width))
    for part in parts:
        centred = features[part] - mean
        covariance += centred.T @ centred
    return Moments(mean, covariance / (count - 1), count)


@dataclass
class Known:
    """Statistics of the real images for one extractor.

    Attributes:
        moments: for the Fréchet distance.
        features: [N, D], for metrics that compare single images; None if they were not kept.
        labels: int64 [N] class of each image; None if there are no classes or the features were not kept.
        protocol: how they were computed.
    """

    moments: Moments
    features: Floats | None
    labels: NDArray[np.int64] | None
    protocol: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Writes an ``.npz`` file, whose ``mu`` and ``sigma`` other programs for the FID read, too."""
        arrays: dict[str, NDArray[Any]] = {
            "mu": self.moments.mean,
            "sigma": self.moments.covariance,
            "count": np.array(self.moments.images),
            "protocol": np.array(json.dumps(self.protocol)),
        }
        each = {"features": self.features, "labels": self.labels}
        arrays |= {name: array for name, array in each.items() if array is not None}
        with replacing(path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Known:
        """Reads a file of ``save``, or an ``.npz`` file of another program with ``mu`` and ``sigma``.

        Raises:
            GancliError: it cannot be read, or holds something else.
        """
        hint = "--save-stats FILE makes one"
        try:
            with np.load(path, allow_pickle=False) as file:
                inside = sum(each.file_size for each in file.zip.infolist())
                if inside > max(SMALL, MOST_COMPRESSED * path.stat().st_size):
                    raise ValueError("much larger inside than outside")
                arrays = {name: file[name] for name in file.files if name != "features"}
                features = _mapped(path, file, "features.npy") if "features" in file.files else None
            mean, covariance = (np.asarray(arrays[name], np.float64) for name in ("mu", "sigma"))
            count, labels = int(arrays.get("count", 0)), arrays.get("labels")
            protocol = parse_json(str(arrays.get("protocol", "{}")))
        except OSError as error:
            raise GancliError(f"{path}: {error.strerror or error}") from error
        except KeyError as error:
            raise GancliError(f"{path}: has no statistics mu [D] and sigma [D, D]", hint) from error
        except (*DAMAGED, AttributeError) as error:
            raise GancliError(f"{path}: not an .npz file of statistics", hint) from error
        whole = mean.ndim == 1 and covariance.shape == (len(mean), len(mean)) and isinstance(protocol, dict)
        whole = whole and count >= 0 and all(arrays[name].dtype.kind in "fiu" for name in ("mu", "sigma"))
        whole = whole and all(isinstance(protocol.get(key, usual), type(usual)) for key, usual in SAID.items())
        if features is not None:
            whole &= features.ndim == 2 and features.shape[1] == len(mean) and features.dtype.kind == "f"
        if labels is not None:
            whole &= features is not None and labels.shape == (len(features),) and labels.dtype.kind == "i"
        if not whole:
            raise GancliError(f"{path}: its arrays are not statistics, or do not match each other", hint)
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise GancliError(f"{path}: its statistics are not finite", hint)
        return cls(Moments(mean, covariance, count), features, labels, protocol)


def _mapped(path: Path, archive: Any, member: str) -> NDArray[Any]:
    """Returns an array of an ``.npz`` file, as a view of the file unless that is compressed."""
    found = archive.zip.getinfo(member)
    if found.compress_type != zipfile.ZIP_STORED:
        array: NDArray[Any] = archive[member.removesuffix(".npy")]
        return array
    with path.open("rb") as file:
        # The local header has two lengths of its own; the array's header follows it.
        file.seek(found.header_offset + 26)
        file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise ValueError("an array of objects")
        return np.memmap(file, dtype, "c", file.tell(), shape, "F" if fortran else "C")


def check_finite(values: Mapping[str, float]) -> dict[str, float]:
    """Returns the values of a metric as plain numbers; raises ``RunError`` if one is not finite."""
    for name, value in values.items():
        if not np.isfinite(value):
            raise RunError(
                f"{name} is {value}: the features do not vary enough, or too few images were compared",
                "use more images (-n), or other --features",
            )
    return {name: float(value) for name, value in values.items()}
