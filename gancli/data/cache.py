"""Decodes every image once and keeps it as uint8, cut to the size that a run needs.

Up to a limit the pixels stay in memory; more go to a memory-mapped file under ``$GANCLI_HOME/cache`` that later runs
find again. The file's name is a hash of everything that shapes its bytes. It is written under another name and a lock,
synced and renamed, so it is complete or missing.

Layout of the file: the pixels of all good images, one after the other; int32 height and width of each; int64 index of
each in the source; a JSON header; and a trailer with the header's length, a hash of everything but the pixels, and
``MAGIC``.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
import torch
from numpy.typing import NDArray

from gancli.data.preparation import Preparation
from gancli.data.source import BadImage, Images, Pixels, fingerprint
from gancli.data.threads import CHUNK, in_threads
from gancli.errors import GancliError, RunError
from gancli.files import sync_directory
from gancli.home import home

MAGIC = b"gancli-pixels-1\n"
TRAILER = 8 + 16 + len(MAGIC)

Progress = Callable[[int, int], None]


@dataclass(eq=False)
class Decoded:
    """The good images of one domain, decoded.

    Attributes:
        pixels: of all images, one after the other, in memory; or the file that is mapped into memory.
        indices: int64 [n], which image of the source each one is, ascending.
        sizes: int32 [n, 2], height and width of each.
        channels: of every image.
        bad: name and reason of each image that was left out.
    """

    pixels: torch.Tensor | Path
    indices: NDArray[np.int64]
    sizes: NDArray[np.int32]
    channels: int
    bad: list[tuple[str, str]]

    def __post_init__(self) -> None:
        self._ends = np.cumsum(self.sizes[:, 0].astype(np.int64) * self.sizes[:, 1] * self.channels)
        self._flat: NDArray[np.uint8]
        if isinstance(self.pixels, torch.Tensor):
            self._flat = self.pixels.numpy()
        else:
            self._flat = np.memmap(self.pixels, np.uint8, "r", shape=(self.nbytes,))

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process attaches to the shared memory, or maps the file itself.
        return Decoded, (self.pixels, self.indices, self.sizes, self.channels, self.bad)

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def path(self) -> Path | None:
        """The memory-mapped file; None if the pixels are in memory."""
        return self.pixels if isinstance(self.pixels, Path) else None

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels."""
        return int(self._ends[-1])

    def uniform(self) -> NDArray[np.uint8] | None:
        """Returns all images as one array [n, H, W, C], or None if they differ in size."""
        height, width = self.sizes[0]
        if (self.sizes != self.sizes[0]).any():
            return None
        return self._flat.reshape(len(self), height, width, self.channels)

    def image(self, place: int) -> Pixels:
        """Returns one image, uint8 [H, W, C], without copying it."""
        height, width = self.sizes[place]
        end = self._ends[place]
        start = end - int(height) * int(width) * self.channels
        return self._flat[start:end].reshape(height, width, self.channels)


@dataclass
class Cache:
    """Decodes the images of a run.

    Attributes:
        left: bytes of pixels that may still stay in memory; 0 always uses a file.
        shared: pixels in memory are put into shared memory, for worker processes.
        stop_at_bad: a bad image is an error; otherwise it is left out.
    """

    left: int
    shared: bool
    stop_at_bad: bool

    def decode(self, images: Images, prepare: Preparation, key: str, progress: Progress | None = None) -> Decoded:
        """Decodes a list of images, or finds them in the cache file of an earlier run.

        Args:
            images: one domain of a source.
            prepare: applied to each image.
            key: changes whenever the images may have changed.
            progress: called now and then with the number of finished images and of all images.

        Raises:
            GancliError: a bad image if that is an error, no good image at all, or no place for the file.
            RunError: the disk is full.
        """
        settings = [MAGIC.decode(), PIL.__version__, key, len(images), vars(prepare)]
        path = home() / "cache" / f"{fingerprint(json.dumps(settings))}.pixels"
        limit = min(self.left, _shared_memory_left()) if self.shared else self.left
        with closing(_Store(path, limit, len(images))) as store:
            decoded = _load(path, prepare.channels)
            if decoded is None and prepare.least_bytes * len(images) > limit:
                store.open_file()
                # Another process, such as another rank of this run, may have written it meanwhile.
                decoded = _load(path, prepare.channels)
            if decoded is None:
                bad = self._fill(store, images, prepare, progress)
                decoded = store.finish(prepare.channels, bad, self.shared)
        self._judge(decoded.bad)
        if decoded.path is None:
            self.left -= decoded.nbytes
        return decoded

    def _fill(
        self, store: _Store, images: Images, prepare: Preparation, progress: Progress | None
    ) -> list[tuple[str, str]]:
        """Decodes all images into the store; returns the bad ones."""
        bad: list[tuple[str, str]] = []

        def decode(index: int) -> Pixels:
            return prepare(images.read(index, prepare.channels, prepare.side))

        for done, result in enumerate(in_threads(decode, len(images)), start=1):
            if isinstance(result, BadImage):
                bad.append((images.name(done - 1), str(result)))
                self._judge(bad)
            else:
                store.add(done - 1, result)
            if progress is not None and (done % CHUNK == 0 or done == len(images)):
                progress(done, len(images))
        if not store.indices:
            first = f"; the first is {bad[0][0]}: {bad[0][1]}" if bad else ""
            raise GancliError(f"none of the {len(images):,} images can be read{first}")
        return bad

    def _judge(self, bad: list[tuple[str, str]]) -> None:
        if self.stop_at_bad and bad:
            hint = "`--set data.on_bad_image=skip` leaves such images out"
            raise GancliError(f"{bad[0][0]} cannot be read: {bad[0][1]}", hint)


def _shared_memory_left() -> int:
    """Bytes that fit into shared memory: containers often have 64 MB, and writing beyond that kills the process."""
    try:
        left = shutil.disk_usage("/dev/shm").free
    except OSError:  # systems that do not keep it in a file system do not limit it this way
        return 2**63
    return left // 2  # the batches that workers hand over live there too


def _locked(path: Path) -> BinaryIO:
    """Returns the locked file ``path``; waits while another process has it."""
    while True:
        lock = path.open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                return lock
        lock.close()  # whoever had it has removed it


def _remove_leftovers(folder: Path) -> None:
    """Removes files that no process writes any more: a killed one has let go of its lock."""
    for path in folder.glob("*.lock"):
        with suppress(OSError), path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.with_suffix(".part").unlink(missing_ok=True)
            path.unlink()


class _Store:
    """Collects pixels in memory, and in a file beside ``path`` once they are more than ``limit`` bytes."""

    def __init__(self, path: Path, limit: int, count: int) -> None:
        self.path, self.limit, self.count = path, limit, count
        self.indices: list[int] = []
        self.sizes: list[tuple[int, int]] = []
        self._total = 0
        self._blocks: deque[Pixels] = deque()  # not in the file yet
        self._file: BinaryIO | None = None
        self._lock: BinaryIO | None = None
        self._aside = path.with_suffix(".part")

    def close(self) -> None:
        """Removes what has no final name yet, and lets other processes write."""
        if self._file is not None:
            # Its buffer is either written already or no longer needed.
            with suppress(OSError):
                self._file.close()
            self._aside.unlink(missing_ok=True)
        if self._lock is not None:
            self.path.with_suffix(".lock").unlink(missing_ok=True)  # while it is held, see _locked
            self._lock.close()

    def open_file(self) -> None:
        """Opens the file aside; waits while another process writes the same one."""
        with self._disk_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(self.path.parent)
            self._lock = _locked(self.path.with_suffix(".lock"))
            self._file = self._aside.open("wb", buffering=2**20)

    def add(self, index: int, pixels: Pixels) -> None:
        """Appends one image."""
        self.indices.append(index)
        self.sizes.append(pixels.shape[:2])
        self._total += pixels.nbytes
        self._blocks.append(pixels)
        if self._file is None and self._total > self.limit:
            self.open_file()
        if self._file is not None:
            with self._disk_errors():
                while self._blocks:
                    self._file.write(np.ascontiguousarray(self._blocks.popleft()).data)

    def finish(self, channels: int, bad: list[tuple[str, str]], shared: bool) -> Decoded:
        """Returns everything that was added; a file gets its final name."""
        indices, sizes = np.array(self.indices, np.int64), np.array(self.sizes, np.int32)
        if self._file is None:
            flat = torch.empty(self._total, dtype=torch.uint8)
            if shared:
                flat.share_memory_()
            view, start = flat.numpy(), 0
            while self._blocks:  # freed as they are copied, so memory holds them only once
                block = self._blocks.popleft().reshape(-1)
                view[start : start + len(block)] = block
                start += len(block)
            return Decoded(flat, indices, sizes, channels, bad)
        header = json.dumps({"name": self.path.stem, "channels": channels, "images": len(indices), "bad": bad}).encode()
        rest = sizes.tobytes() + indices.tobytes() + header
        with self._disk_errors():
            self._file.write(rest + _trailer(header, rest))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._aside.replace(self.path)
            sync_directory(self.path.parent)
        return Decoded(self.path, indices, sizes, channels, bad)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            needed = self._total / max(len(self.indices), 1) * self.count / 2**30
            in_memory = f"--set data.cache_gib={math.ceil(needed)}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise RunError(
                    f"the disk is full: the decoded images need about {needed:.2f} GiB in {self.path.parent}",
                    f"make room, set GANCLI_HOME to another disk, or keep them in memory: {in_memory}",
                ) from error
            raise GancliError(
                f"{self.path.parent} cannot be written: {error.strerror or error}",
                f"set GANCLI_HOME to another place, or keep the images in memory: {in_memory}",
            ) from error


def _trailer(header: bytes, rest: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + hashlib.blake2b(rest, digest_size=16).digest() + MAGIC


def _load(path: Path, channels: int) -> Decoded | None:
    """Returns the content of a cache file; None if it is missing, damaged, or belongs to another name.

    The pixels themselves are not read here: they may not fit into memory.
    """
    try:
        with path.open("rb") as file:
            end = file.seek(-TRAILER, os.SEEK_END)
            trailer = file.read()
            header_length = int.from_bytes(trailer[:8], "little")
            file.seek(end - header_length)
            header_bytes = file.read(header_length)
            header = json.loads(header_bytes)
            count = header["images"]
            start = file.seek(end - header_length - 16 * count)
            rest = file.read(16 * count + header_length)
            if (header["name"], header["channels"]) != (path.stem, channels) or _trailer(header_bytes, rest) != trailer:
                return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError):  # also from places before the file's beginning
        return None
    sizes = np.frombuffer(rest, np.int32, 2 * count).reshape(count, 2)
    indices = np.frombuffer(rest, np.int64, count, 8 * count)
    if int((sizes[:, 0].astype(np.int64) * sizes[:, 1]).sum()) * channels != start:
        return None
    return Decoded(path, indices, sizes, channels, [(bad[0], bad[1]) for bad in header["bad"]])
