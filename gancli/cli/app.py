"""The command ``gancli``: registers the commands, and turns whatever goes wrong into lines and an exit code.

Exit codes: 0 done, 1 failed while running, 2 wrong input or usage, 130 interrupted, 143 terminated, and 141
where the reader of a pipe went away (``gancli presets | head -1``), as a shell shows it for any tool.
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
from collections.abc import Callable, Sequence
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

INTERRUPTED = 130
BROKEN_PIPE = 141
TERMINATED = 143

LESS_MEMORY = {
    "train": "take less at a time: a smaller `--set train.batch=N`, `--set train.accumulate=2`, `--precision bf16`, "
    "or a smaller `--resolution`",
    "resume": "take less at a time: `--set train.accumulate=2`, or `--precision bf16`",
    **dict.fromkeys(
        ("sample", "interpolate", "truncate", "style-mix", "evaluate"),
        "take fewer images at a time: a smaller `--batch`",
    ),
    "translate": "take less at a time: `--tile 512`, a smaller `--size`, or a smaller `--batch`",
}
"""What to type where memory ran out, by command."""


class Commands(TyperGroup):
    """The group of all commands; an unknown one is answered with the nearest."""

    def get_params(self, ctx: Any) -> Any:
        """Returns the options before the command, which are all flags."""
        parameters = super().get_params(ctx)
        for parameter in parameters:
            # typer takes a bool as it is; for None it imports pydantic, and a help page takes twice as long.
            if parameter.default is None:
                parameter.default = False
        return parameters

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command that ``args`` begins with.

        Raises:
            GancliError: there is none of this name.
        """
        if args[0] not in self.commands and not ctx.resilient_parsing:
            raise GancliError(f"there is no command {args[0]!r}", hint(nearest(args[0], self.commands), ctx))
        return super().resolve_command(ctx, args)


# Plain help pages: panels need rich, and the answer would take twice as long.
app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: gancli train dcgan-shapes --data shapes",
)


def _register(function: Callable[..., None], name: str, example: str, kind: type[Command] = Command) -> None:
    app.command(name, cls=kind, epilog=f"Example: {example}")(function)


_register(train, "train", "gancli train dcgan --data photos/ --name photos --epochs 50")
_register(resume, "resume", "gancli resume photos")
_register(sample, "sample", "gancli sample photos -n 16 -o grid.png")
_register(interpolate, "interpolate", "gancli interpolate photos --seeds 1,2,3 --loop -o film.mp4")
_register(truncate, "truncate", "gancli truncate faces --seeds 0-5 --levels 1,0.7,0.5,0")
_register(style_mix, "style-mix", "gancli style-mix faces --rows 0-3 --cols 4-9 -o mixed.png")
_register(translate, "translate", "gancli translate horse2zebra photos/ -o zebras/")
_register(
    evaluate, "evaluate", "gancli evaluate photos --data photos/ --metrics fid,kid -n 10000", kind=EvaluateCommand
)
_register(presets, "presets", "gancli presets dcgan-shapes")
_register(models, "models", "gancli models photos")
_register(data, "data", "gancli data photos/")
_register(import_, "import", "gancli import dcgan netG.pth --name faces")
_register(export, "export", "gancli export horse2zebra --to zebra -o latest_net_G.pth")
_register(doctor, "doctor", "gancli doctor")


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
    # A stream that whoever started this process closed is None.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name may hold bytes that are no text here: they are written as they were, or spelt.
            stream.reconfigure(errors="surrogateescape" if stream.encoding == "utf-8" else "backslashreplace")
    if not sys.warnoptions:
        _tame_warnings()
    if "_GANCLI_COMPLETE" in os.environ:
        app(prog_name="gancli")
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError:
        # It has been reported, and would be once more by Python when it leaves.
        console.discard(sys.stdout)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns the exit code; errors are on stderr by then.

    Args:
        arguments: the words of the command line after ``gancli``.
    """
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    debug = "--debug" in arguments[:end] or os.environ.get("GANCLI_DEBUG", "0") not in ("", "0")
    words = [word for index, word in enumerate(arguments) if word != "--debug" or index > end]
    try:
        try:
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
    if hasattr(error, "format_message"):
        # Of click, or of the copy of it that newer releases of typer bring along.
        return _usage_error(error)
    if _is_full(error):
        return _no_space(error)
    if _is_out_of_memory(error):
        reason = str(error).strip().partition("\n")[0]
        return RunError(
            f"out of memory: {reason}".removesuffix(": "),
            LESS_MEMORY.get(command, "end other programs, or take a machine with more memory"),
        )
    if _is_of_the_compiler(error):
        return RunError(
            f"torch.compile failed: {str(error).strip().partition(chr(10))[0]}",
            "`gancli doctor` says what it needs; or leave it out: `--set train.compile=false`",
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS) and error.filename:
        return RunError(
            f"{error.filename}: {os.strerror(error.errno).lower()}",
            "choose another place, or change its rights",
        )
    return RunError(f"unexpected failure: {type(error).__name__}: {error}", "run again with --debug and report it")


def _usage_error(error: Any) -> GancliError:
    """Puts what typer says about the words of the command line into the form of all errors."""
    context = getattr(error, "ctx", None)
    if context is not None and hasattr(error, "possibilities") and hasattr(error, "option_name"):
        known = [option for parameter in context.command.params for option in parameter.opts]
        near = nearest(error.option_name, known)
        return GancliError(f"there is no option {error.option_name}", hint(near, context))
    message = error.format_message().strip().removesuffix(".")
    if hasattr(error.__cause__, "errors"):
        # Newer releases of typer let pydantic read the value, whose words do not say what it is.
        from gancli.config import in_words

        (detail, *_) = error.__cause__.errors()
        parameter = error.param
        name = parameter.opts[0] if parameter.param_type_name == "option" else metavar(parameter)
        message = f"invalid value for {name!r}: {in_words(detail)}, not {detail['input']!r}"
    return GancliError(message[:1].lower() + message[1:], hint("", context))


def _no_space(error: BaseException) -> RunError:
    if "/torch_" in str(error) or "shared memory" in str(error):
        return RunError(
            "no space left in /dev/shm, through which loader processes hand over their batches",
            "add `--workers 0`, or give the machine (the container) more shared memory",
        )
    name = getattr(error, "filename", None) or "the output"
    return RunError(
        f"no space left on device while writing {name}",
        "free some space, or write to another disk (see `df -h`)",
    )


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # safetensors and torch raise classes of their own, with the system's words.
    return os.strerror(errno.ENOSPC) in str(error)


def _is_out_of_memory(error: BaseException) -> bool:
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("DefaultCPUAllocator", "can't allocate memory", "out of memory")
    )


def _is_of_the_compiler(error: BaseException) -> bool:
    return any(kind.__module__.startswith(("torch._dynamo", "torch._inductor")) for kind in type(error).__mro__)


def _let_go_of_closed_pipes() -> bool:
    """Points stdout and stderr, where their reader is gone, to nowhere; returns whether one was."""
    gone = False
    for stream in (sys.stdout, sys.stderr):
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
            console.discard(stream)
            gone = True
    return gone


def _tame_warnings() -> None:
    """Keeps what libraries tell programmers off the screen and shows the rest as one line each."""
    for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
        warnings.simplefilter("ignore", category)
    warnings.filterwarnings("ignore", module=r"torch(vision)?(\.|$)")
    warnings.showwarning = lambda message, *_, **__: console.warn(str(message))
