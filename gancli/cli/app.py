"""The command ``gancli``: registers the commands, and turns whatever goes wrong into lines and an exit code.

Exit codes: 0 done, 1 failed while running, 2 wrong input or usage, 129 hung up, 130 interrupted, 143 terminated, and
141 if the reader of a pipe is gone (``gancli presets | head -1``), as a shell reports it for any tool.
"""

from __future__ import annotations

import errno
import io
import os
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command

from gancli import console
from gancli.cli.command import Command, hint, metavar
from gancli.cli.data import data
from gancli.cli.doctor import doctor
from gancli.cli.evaluate import EvaluateCommand, evaluate
from gancli.cli.export import export
from gancli.cli.import_ import import_
from gancli.cli.interpolate import interpolate
from gancli.cli.models import models
from gancli.cli.presets import presets
from gancli.cli.resume import resume
from gancli.cli.sample import sample
from gancli.cli.style_mix import style_mix
from gancli.cli.train import train
from gancli.cli.translate import translate
from gancli.cli.truncate import truncate
from gancli.errors import GancliError, RunError, nearest
from gancli.version import __version__

HUNG_UP = 129
INTERRUPTED = 130
BROKEN_PIPE = 141
TERMINATED = 143

LESS_MEMORY = {
    "train": "use a smaller `--set train.batch=N`, `--set train.accumulate=2`, `--precision bf16`, or a smaller "
    "`--resolution`",
    "resume": "use `--set train.accumulate=2`, or `--precision bf16`",
    **dict.fromkeys(("sample", "interpolate", "truncate", "style-mix", "evaluate"), "use a smaller `--batch`"),
    "translate": "use `--tile 512`, a smaller `--size`, or a smaller `--batch`",
}
"""What to type after memory ran out, by command."""


REFUSALS = {
    errno.EIO: "look at the disk or the terminal, or choose another place",
    errno.EFBIG: "raise the limit (`ulimit -f unlimited`), or write to a file system that takes larger files",
    errno.EMFILE: "raise the limit: `ulimit -n 4096`",
    errno.ENFILE: "end other programs",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EROFS: "choose another place: nothing can be written there",
    errno.EAGAIN: "end other programs, or raise the limit: `ulimit -u`",
}
"""What to type after the operating system has refused something, by its number."""


class Commands(TyperGroup):
    """The group of all commands; for an unknown one it names the nearest."""

    def get_params(self, ctx: Any) -> Any:
        """Returns the options before the command, which are all flags."""
        parameters = super().get_params(ctx)
        for parameter in parameters:
            # typer takes a bool as it is; for None it imports pydantic, and a help page takes twice as long.
            parameter.default = bool(parameter.default)
        return parameters

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command that ``args`` begins with.

        Raises:
            GancliError: there is no such command.
        """
        if args[0] not in self.commands and not ctx.resilient_parsing:
            raise GancliError(f"there is no command {args[0]!r}", hint(nearest(args[0], self.commands), ctx))
        return super().resolve_command(ctx, args)


# Plain help pages: panels need rich, and a page would take twice as long.
app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: gancli train dcgan-shapes --data shapes",
)


for _command, _example in (
    (train, "dcgan --data photos/ --name photos --epochs 50"),
    (resume, "photos"),
    (sample, "photos -n 16 -o grid.png"),
    (interpolate, "photos --seeds 1,2,3 --loop -o film.mp4"),
    (truncate, "faces --seeds 0-5 --levels 1,0.7,0.5,0"),
    (style_mix, "faces --rows 0-3 --cols 4-9 -o mixed.png"),
    (translate, "horse2zebra photos/ -o zebras/"),
    (evaluate, "photos --data photos/ --metrics fid,kid -n 10000"),
    (presets, "dcgan-shapes"),
    (models, "photos"),
    (data, "photos/"),
    (import_, "dcgan netG.pth --name faces"),
    (export, "horse2zebra --to zebra -o latest_net_G.pth"),
    (doctor, ""),
):
    _name = _command.__name__.strip("_").replace("_", "-")
    _kind = EvaluateCommand if _command is evaluate else Command
    app.command(_name, cls=_kind, epilog=f"Example: gancli {_name} {_example}".rstrip())(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gancli {__version__}")
        raise typer.Exit


@app.callback()
def _gancli(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error; also after COMMAND, also GANCLI_DEBUG=1."),
    ] = False,
) -> None:
    """Train and use generative adversarial networks."""


def main() -> NoReturn:
    """Runs ``gancli`` with the words of the command line and leaves the process."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup sets it
        signal.signal(signal.SIGHUP, lambda *_: sys.exit(HUNG_UP))
    # A stream is None if whoever started this process closed it. What a command prints then is lost, which is an error;
    # a file that is only for reading refuses it.
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    sys.stdin = sys.stdin or Path(os.devnull).open()  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    if isinstance(sys.stdout.buffer, io.RawIOBase):  # with PYTHONUNBUFFERED it may write a part only, and say nothing
        sys.stdout = os.fdopen(sys.stdout.fileno(), "w", encoding=sys.stdout.encoding, closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name may hold bytes that are not text here: they are written as they were, or as escapes.
            stream.reconfigure(errors="surrogateescape" if stream.encoding == "utf-8" else "backslashreplace")
    if not sys.warnoptions:  # hide what libraries tell programmers, show the rest as one line each
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", module=r"torch(vision)?(\.|$)")
        warnings.showwarning = lambda message, *_, **__: console.warn(str(message))
    if "_GANCLI_COMPLETE" in os.environ:
        app(prog_name="gancli")
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError:
        console.discard(sys.stdout)  # it has been reported, and Python would report it again on leaving
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Runs the command in the words after ``gancli`` and returns the exit code; errors are on stderr by then."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    debug = "--debug" in arguments[:end] or os.environ.get("GANCLI_DEBUG", "0") not in ("", "0")
    words = [word for index, word in enumerate(arguments) if word != "--debug" or index > end]
    try:
        try:
            _check_directory()
            code = _invoke(words or ["--help"])
            sys.stdout.flush()
            return code
        except (Exception, KeyboardInterrupt) as error:
            if debug:
                traceback.print_exc()
            return _report(error, words[0] if words else "")
    except BrokenPipeError:
        _let_go_of_closed_pipes()
        return BROKEN_PIPE


def _check_directory() -> None:
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise GancliError("the working directory has been removed", "cd to a directory that is there") from error


def _invoke(words: list[str]) -> int:
    # Not app(): what it does with an interrupt or a closed pipe differs between releases of typer.
    try:
        with get_command(app).make_context("gancli", words) as context:
            context.command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return 0


def _report(error: BaseException, command: str) -> int:
    """Says what went wrong and returns the exit code."""
    if isinstance(error, BrokenPipeError) and _let_go_of_closed_pipes():
        return BROKEN_PIPE
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        console.note("interrupted")
        return INTERRUPTED
    shown = explain(error, command)
    console.print_error(shown)
    return shown.exit_code


def explain(error: BaseException, command: str = "") -> GancliError:
    """Returns what to tell a person about an exception of a command."""
    if isinstance(error, GancliError):
        return error
    if hasattr(error, "format_message"):  # of click, or of the copy of it in newer releases of typer
        return _usage_error(error)
    text = str(error).strip()
    reason = text.partition("\n")[0]
    number, name = (error.errno, error.filename) if isinstance(error, OSError) else (None, None)
    # safetensors and torch raise classes of their own, with the system's words.
    if number == errno.EDQUOT or os.strerror(errno.EDQUOT) in text:
        return RunError(f"your disk quota is used up, while writing {name or 'the output'}", "remove files of yours")
    if number == errno.ENOSPC or os.strerror(errno.ENOSPC) in text:
        if "/torch_" in text or "shared memory" in text:
            return RunError(
                "no space left in /dev/shm, through which loader processes pass their batches",
                "add `--workers 0`, or give the machine (the container) more shared memory",
            )
        advice = "free some space, or write to another disk (see `df -h`)"
        return RunError(f"no space left on device while writing {name or 'the output'}", advice)
    if _is_out_of_memory(error):
        less = LESS_MEMORY.get(command, "end other programs, or use a machine with more memory")
        return RunError(f"out of memory: {reason}".removesuffix(": "), less)
    if any(kind.__module__.startswith(("torch._dynamo", "torch._inductor")) for kind in type(error).__mro__):
        advice = "`gancli doctor` says what it needs; or leave it out: `--set train.compile=false`"
        return RunError(f"torch.compile failed: {reason}", advice)
    if number == errno.EBADF and not name:
        return RunError("stdout is closed, so the result cannot be written", "leave out >&-, or use >/dev/null")
    if number is not None and (name or number in REFUSALS):
        advice = REFUSALS.get(number, "choose another place, or change its permissions")
        return RunError(f"{name or 'the output'}: {os.strerror(number).lower()}", advice)
    if system := next((code for code in REFUSALS if os.strerror(code) in text), None):
        return RunError(reason, REFUSALS[system])
    return RunError(f"unexpected failure: {type(error).__name__}: {error}", "run again with --debug and report it")


def _usage_error(error: Any) -> GancliError:
    """Returns what typer says about the command line as an error like all others."""
    context = getattr(error, "ctx", None)
    if context is not None and hasattr(error, "possibilities") and hasattr(error, "option_name"):
        known = [option for parameter in context.command.params for option in parameter.opts]
        near = nearest(error.option_name, known)
        return GancliError(f"there is no option {error.option_name}", hint(near, context))
    message = error.format_message().strip().removesuffix(".")
    if hasattr(error.__cause__, "errors"):
        # Newer releases of typer let pydantic read the value, and pydantic's words do not show the value.
        from gancli.config import in_words

        (detail, *_) = error.__cause__.errors()
        parameter = error.param
        name = parameter.opts[0] if parameter.param_type_name == "option" else metavar(parameter)
        message = f"invalid value for {name!r}: {in_words(detail)}, not {detail['input']!r}"
    return GancliError(message[:1].lower() + message[1:], hint("", context))


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    words = ("DefaultCPUAllocator", "can't allocate memory", "out of memory")  # of torch, on a CPU and a GPU
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def _let_go_of_closed_pipes() -> bool:
    """Points stdout and stderr to nowhere if their reader is gone; returns whether one was."""
    gone = False
    for stream in (sys.stdout, sys.stderr):
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
            console.discard(stream)
            gone = True
    return gone
