"""``gancli doctor``: whether this machine is ready to train, and what to do if it is not."""

from __future__ import annotations

import importlib
import importlib.util
import json
import locale
import os
import platform
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import typer

from gancli import console, registry
from gancli.cli.options import Json
from gancli.errors import FAILED, GancliError
from gancli.home import home
from gancli.version import __version__

MIB, GIB = 2**20, 2**30


@dataclass(frozen=True)
class Check:
    """One row of the table; ``hint`` says what to do."""

    name: str
    state: Literal["ok", "warning", "problem"]
    found: str
    hint: str = ""


def doctor(as_json: Json = False) -> None:
    """Check whether this machine is ready.

    Looks at versions, devices, memory, disks, and what torch.compile needs. A warning names what will be slow or
    missing; with a problem gancli cannot work, and the exit code is 1.
    """
    found = list(_checks())
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in found], indent=2))
    else:
        width = 4 if any(check.hint for check in found) else 3
        rows = [(check.state, check.name, check.found, check.hint)[:width] for check in found]
        console.table(("state", "what", "found", "what to do")[:width], rows)
    if any(check.state == "problem" for check in found):
        raise typer.Exit(FAILED)


def _checks() -> Iterator[Check]:
    yield Check("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield Check("gancli", "ok", f"{__version__} in {Path(registry.__file__).parent}")
    torch, check = _import("torch")
    yield check
    yield _import("torchvision")[1]
    yield _presets()
    if torch is not None:
        # A driver or build that is half broken raises whatever it likes.
        for name, look in (("devices", _devices), ("torch.compile", _compilation)):
            yield from _guarded(name, look, torch)
    yield _tensorboard()
    try:
        yield _place("model directory", home())
    except GancliError as error:
        yield Check("model directory", "problem", error.message, error.hint)
    yield _place("working directory", Path.cwd())
    yield from _memory()
    yield from _shared_memory()
    yield from _terminal()


def _judged(name: str, found: str, hint: str, *, fine: bool) -> Check:
    """Returns a warning with the hint, unless all is fine."""
    return Check(name, "ok", found) if fine else Check(name, "warning", found, hint)


def _guarded(name: str, look: Callable[[Any], Iterator[Check]], torch: Any) -> Iterator[Check]:
    try:
        yield from look(torch)
    except Exception as error:
        yield Check(name, "problem", _in_one_line(error), "reinstall torch: https://pytorch.org/get-started/locally")


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _import(name: str) -> tuple[Any, Check]:
    try:
        module = importlib.import_module(name)
    except Exception as error:
        hint = "pip install --force-reinstall torch torchvision"
        return None, Check(name, "problem", f"cannot be imported: {_in_one_line(error)}", hint)
    return module, Check(name, "ok", str(module.__version__))


def _presets() -> Check:
    presets, architectures = registry.preset_paths(), registry.architecture_names()
    if not presets or not architectures:
        return Check("presets", "problem", "none found", "pip install --force-reinstall gancli")
    found = f"{len(presets)} for the architectures {', '.join(architectures)}"
    if hidden := registry.hidden_presets():
        names = ", ".join(map(str, hidden))
        return Check("presets", "warning", f"{found}; not used: {names}", "rename it: there is another of that name")
    return Check("presets", "ok", found)


def _devices(torch: Any) -> Iterator[Check]:
    from gancli.devices import cores

    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        memory = f"{total / GIB:.0f} GiB ({free / GIB:.0f} GiB free)"
        capability = f"capability {properties.major}.{properties.minor}"
        yield Check(f"cuda:{index}", "ok", f"{properties.name}, {memory}, {capability}")
    if not torch.cuda.is_available() and (shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists()):
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "this torch has no CUDA"
        hint = "update the driver, or install the torch that fits it: https://pytorch.org/get-started/locally"
        yield Check("cuda", "warning", f"there is an NVIDIA driver, but {built} and sees no GPU", hint)
    if torch.backends.mps.is_available():
        yield Check("mps", "ok", "Apple GPU")
    threads = torch.get_num_threads()
    count = cores()
    found = f"{count} core{'s' * (count != 1)}, {threads} thread{'s' * (threads != 1)}, {platform.machine()}"
    if hasattr(torch.cpu, "get_capabilities"):  # not in older releases of torch
        # Without a unit for it, bf16 is emulated.
        fast = any(known and "bf16" in str(name) for name, known in torch.cpu.get_capabilities().items())
        found += ", fast bf16" if fast else ", bf16 slower than fp32"
    yield Check("cpu", "ok", found)


def _compilation(torch: Any) -> Iterator[Check]:
    missing = []
    if not (os.environ.get("CXX") or any(shutil.which(name) for name in ("g++", "clang++", "c++"))):
        missing.append("a C++ compiler")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        missing.append("Python's headers (Python.h)")
    if torch.cuda.is_available() and importlib.util.find_spec("triton") is None:
        missing.append("triton")
    found = f"lacks {' and '.join(missing)}" if missing else "has what it needs"
    hint = "needed by --compile only: apt install g++ python3-dev, or what your system calls them"
    yield _judged("torch.compile", found, hint, fine=not missing)


def _tensorboard() -> Check:
    if importlib.util.find_spec("tensorboard"):
        return Check("tensorboard", "ok", "installed")
    return Check("tensorboard", "ok", "not installed", 'for --tensorboard: pip install "gancli[tensorboard]"')


def _place(name: str, path: Path) -> Check:
    """Looks at the disk under ``path``, which need not exist yet."""
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        hint = "set GANCLI_HOME to a directory of yours" if name == "model directory" else "cd to a directory of yours"
        return Check(name, "problem", f"{path} cannot be written", hint)
    free = shutil.disk_usage(there).free
    hint = "free some space; the checkpoints of a run take up to a few GiB"
    return _judged(name, f"{path}, {free / GIB:.1f} GiB free", hint, fine=free >= 2 * GIB)


def _memory() -> Iterator[Check]:
    amounts = []
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
        amounts.append(int(fields["MemAvailable"].split()[0]) * 1024)
    # A container's limit; a process that exceeds it ends without a word.
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and (most := limit.read_text().strip()) != "max":
        amounts.append(max(0, int(most) - int(used.read_text())))
    if amounts:
        found, hint = f"{min(amounts) / GIB:.1f} GiB available", "close other programs, or train with a small --batch"
        yield _judged("memory", found, hint, fine=min(amounts) >= 2 * GIB)


def _shared_memory() -> Iterator[Check]:
    place = Path("/dev/shm")
    if place.is_dir():
        size = shutil.disk_usage(place).total
        fine = size >= 256 * MIB
        found = f"{size / GIB:.1f} GiB" if fine else f"{size / MIB:.0f} MiB, too little for loader processes"
        yield _judged("/dev/shm", found, "train with --workers 0, or start the container with --shm-size=1g", fine=fine)


def _terminal() -> Iterator[Check]:
    encoding = locale.getpreferredencoding(False)
    fine = encoding.lower().replace("-", "") == "utf8"
    found = encoding if fine else f"{encoding}, which cannot spell every file name"
    yield _judged("locale", found, "export LC_ALL=C.UTF-8", fine=fine)
    size = console.stderr().size
    shown = f"{size.width} x {size.height} characters" if console.animated() else "none: plain lines, no live table"
    yield Check("terminal", "ok", shown)
