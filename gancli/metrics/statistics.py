"""Features of many images: kept on disk while they are extracted, summed up, saved and read again."""

from __future__ import annotations

import json
import os
import struct
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gancli.errors import GancliError, RunError
from gancli.files import replacing

ROWS = 4096
"""Rows of features that are in memory at a time."""

Floats = NDArray[np.float32]


class Spool:
    """Rows of float32, written one after the other to a file without a name and read as an array.

    So a process that ends, however it ends, leaves nothing behind, and memory does not grow with the rows.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="gancli-features-")  # noqa: SIM115 - it lives as long as this
        self._columns = 0

    def add(self, rows: Floats) -> None:
        """Appends rows [n, D]; D is the same for all."""
        self._columns = rows.shape[1]
        self._file.write(np.ascontiguousarray(rows, np.float32).tobytes())

    def read(self) -> Floats:
        """Returns all rows, [N, D], as a view of the file."""
        self._file.flush()
        if not self._columns:
            return np.empty((0, 0), np.float32)
        return np.memmap(self._file, np.float32, "c").reshape(-1, self._columns)


class Moments(NamedTuple):
    """Mean [D] and covariance [D, D] of features, float64, and of how many images; 0 where that is not known."""

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
    """What is kept of the real images for one extractor.

    Attributes:
        moments: for the Fréchet distance.
        features: [N, D], for metrics that compare single images; None where they were not kept.
        labels: int64 [N] class of each image, where there are some and the features were kept.
        protocol: how they came about.
    """

    moments: Moments
    features: Floats | None
    labels: NDArray[np.int64] | None
    protocol: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Writes an ``.npz`` file whose ``mu`` and ``sigma`` other programs for the Fréchet distance read as well."""
        arrays: dict[str, NDArray[Any]] = {
            "mu": self.moments.mean,
            "sigma": self.moments.covariance,
            "count": np.array(self.moments.images),
            "protocol": np.array(json.dumps(self.protocol)),
        }
        if self.features is not None:
            arrays["features"] = self.features
        if self.labels is not None:
            arrays["labels"] = self.labels
        with replacing(path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Known:
        """Reads what ``save`` wrote, or an ``.npz`` file of ``mu`` and ``sigma`` by another program.

        Raises:
            GancliError: it cannot be read, or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files if name != "features"}
                features = _mapped(path, file, "features.npy") if "features" in file.files else None
        except OSError as error:
            raise GancliError(f"--stats {path}: {error.strerror or error}") from error
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise GancliError(
                f"--stats {path}: is no .npz file of statistics", "--save-stats FILE makes one"
            ) from error
        mean, covariance = arrays.get("mu"), arrays.get("sigma")
        if mean is None or covariance is None or mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise GancliError(
                f"--stats {path}: holds no statistics mu [D] and sigma [D, D]", "--save-stats FILE makes some"
            )
        try:
            protocol = json.loads(str(arrays["protocol"])) if "protocol" in arrays else {}
        except ValueError as error:
            raise GancliError(f"--stats {path}: is damaged", "--save-stats FILE makes it anew") from error
        found = Moments(mean.astype(np.float64), covariance.astype(np.float64), int(arrays.get("count", 0)))
        return cls(found, features, arrays.get("labels"), protocol)


def _mapped(path: Path, archive: Any, member: str) -> NDArray[Any]:
    """Returns an array of an ``.npz`` file as a view of it, so that it takes no memory; compressed, it is read."""
    found = archive.zip.getinfo(member)
    if found.compress_type != zipfile.ZIP_STORED:
        array: NDArray[Any] = archive[member.removesuffix(".npy")]
        return array
    with path.open("rb") as file:
        # The local header has two lengths of its own; the array's header comes behind it.
        file.seek(found.header_offset + 26)
        file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise ValueError("an array of objects")
        return np.memmap(file, dtype, "c", file.tell(), shape, "F" if fortran else "C")


def check_finite(values: Mapping[str, float]) -> dict[str, float]:
    """Returns the values of a metric as plain numbers.

    Raises:
        RunError: one is no number.
    """
    for name, value in values.items():
        if not np.isfinite(value):
            raise RunError(
                f"{name} came out as {value}: the features do not vary enough, or too few images were compared",
                "more images (-n), or other --features",
            )
    return {name: float(value) for name, value in values.items()}
