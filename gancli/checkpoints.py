"""Reads what ``torch.save`` wrote without running any code that a file contains.

Only tensors, numbers, text and containers become what they were. Every other class or function that a pickle names is
never looked up: an inert ``Placeholder`` takes its place. Sizes are bounded by the file's own.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from gancli.files import DAMAGED

MAGIC = 0x1950A86A20F9469CFC6C
"""Begins a file of torch before 1.6: pickles one after another, and then the numbers of each storage."""
MOST_REPEATED = 2**20
"""Values of a tensor that the file holds only once."""
DAMAGE = (
    *DAMAGED,
    *(KeyError, IndexError, AttributeError, RuntimeError, AssertionError, pickle.UnpicklingError),
)
"""What reading a file raises that is something else, or only a part of a checkpoint."""


class Placeholder(dict[Any, Any]):
    """Stands for an object of an unknown class; it takes whatever a pickle does to it, and keeps items only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __call__(self, *args: Any) -> Placeholder:
        return self

    def append(self, item: Any) -> None: ...

    def extend(self, items: Any) -> None: ...

    def add(self, item: Any) -> None: ...

    __hash__ = object.__hash__  # type: ignore[assignment]


class _Storage(NamedTuple):
    dtype: torch.dtype
    content: memoryview


def _check_keys(keys: Iterable[Any]) -> None:
    # Hashing tuples of tuples takes time that doubles with every level.
    if any(isinstance(key, tuple) and any(isinstance(item, tuple) for item in key) for key in keys):
        raise pickle.UnpicklingError("a key of tuples")


def _ordered(items: Any = ()) -> OrderedDict[Any, Any]:
    pairs = [(key, value) for key, value in items]  # of Python 2
    _check_keys(key for key, _ in pairs)
    return OrderedDict(pairs)


def _dtypes() -> dict[str, torch.dtype]:
    named = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
    storages = {"Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64"}
    storages |= {"Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"}
    storages |= {"ComplexFloat": "complex64", "ComplexDouble": "complex128"}
    return named | {f"{name}Storage": named[dtype] for name, dtype in storages.items()}


DTYPES = _dtypes()


def _rebuild_tensor(storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    dtype = _[2] if len(_) > 2 and isinstance(_[2], torch.dtype) else storage.dtype  # of _rebuild_tensor_v3
    flat = torch.frombuffer(storage.content, dtype=dtype) if len(storage.content) else torch.empty(0, dtype=dtype)
    if math.prod(size) > max(len(flat), MOST_REPEATED):
        raise ValueError("a tensor has more values than the file holds")
    return flat.as_strided(tuple(size), tuple(stride), offset)


def _rebuild_sparse(layout: Any, data: Any) -> Tensor:
    return torch.empty(0).to_sparse()  # its values are of no use here


def _rebuild_parameter(tensor: Tensor, *_: Any) -> Tensor:
    return tensor


def _rebuild_typed(rebuild: Callable[..., Any], kind: Any, args: Any, state: Any) -> Any:
    return rebuild(*args) if rebuild in (_rebuild_tensor, _rebuild_parameter) else Placeholder()


_KNOWN: dict[str, Any] = {
    "collections.OrderedDict": _ordered,
    "torch.Size": tuple,
    **dict.fromkeys((f"torch._utils._rebuild_tensor{end}" for end in ("", "_v2", "_v3")), _rebuild_tensor),
    **dict.fromkeys((f"torch._utils._rebuild_parameter{end}" for end in ("", "_with_state")), _rebuild_parameter),
    "torch._utils._rebuild_sparse_tensor": _rebuild_sparse,
    "torch._tensor._rebuild_from_type_v2": _rebuild_typed,
    **{f"torch.{name}": dtype for name, dtype in DTYPES.items()},
    "torch.storage.UntypedStorage": torch.uint8,
}


class _Unpickler(pickle._Unpickler):  # the one in C allots a memo of any size that a file names
    def __init__(self, file: IO[bytes], storage: Callable[[str, int], memoryview], unknown: set[str]) -> None:
        super().__init__(file, encoding="utf-8", errors="surrogateescape")
        self.storage, self.unknown = storage, unknown

    def find_class(self, module: str, name: str, /) -> Any:
        """Returns what a name stands for, without importing anything."""
        known = _KNOWN.get(f"{module}.{name}")
        if known is None:
            self.unknown.add(f"{module}.{name}")
        return Placeholder if known is None else known

    def _drop_state(self) -> None:
        self.stack.pop()  # type: ignore[attr-defined]

    def _refuse(self) -> None:
        raise pickle.UnpicklingError("not of torch.save")

    def _set_items(self) -> None:
        _check_keys(self.stack[::2])  # type: ignore[attr-defined]
        super().load_setitems()  # type: ignore[misc]

    def _set_item(self) -> None:
        _check_keys(self.stack[-2:-1])  # type: ignore[attr-defined]
        super().load_setitem()  # type: ignore[misc]

    def _drop_items(self) -> None:
        self.pop_mark()  # type: ignore[attr-defined]

    def _drop_set(self) -> None:
        self._drop_items()
        self.append(Placeholder())  # type: ignore[attr-defined]

    # BYTEARRAY8 allots as many bytes as a file names, whether it has them or not.
    dispatch: ClassVar[Any] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: _drop_state,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.ADDITEMS[0]: _drop_items,
        pickle.FROZENSET[0]: _drop_set,
        pickle.BYTEARRAY8[0]: _refuse,
    }

    def get_extension(self, code: int) -> None:
        raise pickle.UnpicklingError("an extension of another program")

    def persistent_load(self, pid: Any) -> _Storage:
        """Returns a storage: ("storage", type, key, device, count[, view])."""
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError("not a storage")
        found = self.storage(str(key), count * dtype.itemsize)
        if view and view[0] is not None:
            _, offset, size = view[0]
            found = found[offset * dtype.itemsize : (offset + size) * dtype.itemsize]
        return _Storage(dtype, found)


def read_checkpoint(path: Path) -> tuple[Any, set[str]]:
    """Returns the object that ``torch.save`` wrote into a file, and the names of classes that became placeholders.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is something else, or only a part of a checkpoint.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        unknown: set[str] = set()
        try:
            if zipfile.is_zipfile(file):
                return _read_zip(file, size, unknown), unknown
            file.seek(0)
            return _read_legacy(file, size, unknown), unknown
        except DAMAGE as error:
            raise ValueError("not what torch.save writes") from error


def _read_zip(file: IO[bytes], size: int, unknown: set[str]) -> Any:
    archive, left = zipfile.ZipFile(file), size

    def read(name: str) -> bytearray:
        nonlocal left
        info = archive.getinfo(name)
        left -= info.file_size
        if left < 0 or info.compress_type != zipfile.ZIP_STORED:
            raise ValueError("the archive is larger inside than outside")
        content = bytearray(info.file_size)
        with archive.open(info) as member:
            member.readinto(content)  # type: ignore[attr-defined]
        return content

    (main,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]*/?data\.pkl", name))
    folder, held = main.removesuffix("data.pkl"), dict[str, memoryview]()
    if f"{folder}byteorder" in archive.namelist() and read(f"{folder}byteorder") != b"little":
        raise ValueError("the bytes of its numbers are in another order")

    def storage(key: str, length: int) -> memoryview:
        if key not in held:
            held[key] = memoryview(read(f"{folder}data/{key}"))
        return held[key][:length]

    return _Unpickler(io.BytesIO(read(main)), storage, unknown).load()


def _read_legacy(file: IO[bytes], size: int, unknown: set[str]) -> Any:
    held: dict[str, memoryview] = {}

    def storage(key: str, length: int) -> memoryview:
        if key not in held:
            if not 0 <= length <= size - sum(map(len, held.values())):
                raise ValueError("a storage is larger than the file")
            held[key] = memoryview(bytearray(length))
        return held[key]

    def load() -> Any:
        return _Unpickler(file, storage, unknown).load()

    if load() != MAGIC:
        raise ValueError("not a checkpoint of torch")
    _, _, content, keys = load(), load(), load(), load()
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        into = held[key]
        if (count and len(into) % count) or file.readinto(into) != len(into):  # type: ignore[attr-defined]
            raise ValueError("a storage is cut off")
    return content
