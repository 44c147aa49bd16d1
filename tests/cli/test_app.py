"""The command line as a shell sees it: streams, exit codes, and what is imported for a help page."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from gancli import __version__
from gancli.cli import app as cli
from gancli.errors import GancliError

HEAVY = {"torch", "av", "torchvision", "numpy", "PIL", "pydantic"}
COMMANDS = [command.name for command in cli.app.registered_commands]


def gancli(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gancli", *words], capture_output=True, text=True, env={**os.environ, **environment}
    )


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Returns a function that makes ``gancli fail`` raise an exception."""
    registered = list(cli.app.registered_commands)

    def install(error: BaseException) -> None:
        def fail(steps: int = 1) -> None:
            """Fail."""
            raise error

        monkeypatch.setattr(cli.app, "registered_commands", list(registered))
        cli.app.command("fail")(fail)

    return install


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    script = (
        "import sys; from gancli.cli.app import run; code = run(sys.argv[1:])\n"
        "print('imported', *sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)
    assert done.returncode == 0
    imported = set(done.stderr.split())
    assert "typer" in imported
    assert not imported & HEAVY
    assert "rich" not in imported


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_page_is_plain_and_ends_with_an_example(name: str) -> None:
    page = gancli(name, "-h", FORCE_COLOR="1").stdout
    assert page.isascii()
    assert "\x1b" not in page
    assert re.search(rf"\n  Example: gancli {name}\b.*\n$", page)


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("train", "[OPTIONS] [PRESET]"),
        ("resume", "[OPTIONS] RUN"),
        ("translate", "[OPTIONS] MODEL [IMAGE]..."),
        ("import", "[OPTIONS] ARCH FILE..."),
        ("models", "[OPTIONS] [MODEL]"),
        ("doctor", "[OPTIONS]"),
    ],
)
def test_usage_names_arguments_plainly(command: str, usage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([command, "--help"]) == 0
    page = capsys.readouterr().out
    assert page.splitlines()[0] == f"Usage: gancli {command} {usage}"
    assert not re.search(r"<\w+|[{]", page.partition("Example:")[0])


def test_no_word_at_all_shows_the_help() -> None:
    assert gancli().stdout == gancli("--help").stdout != ""
    assert gancli("--debug").stdout == gancli("--help").stdout
    assert gancli("--version").stdout == f"gancli {__version__}\n"


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["presest"], "there is no command 'presest'", "did you mean 'presets'? type `gancli --help`"),
        (["qqqqq"], "there is no command 'qqqqq'", "type `gancli --help`"),
        (["--verson"], "there is no option --verson", "did you mean '--version'? type `gancli --help`"),
        (["presets", "--jsn"], "there is no option --jsn", "did you mean '--json'? type `gancli presets --help`"),
        (["doctor", "x"], "unexpected argument 'x'", "type `gancli doctor --help`"),
        (["sample", "x", "-n"], "option '-n' requires an argument", "type `gancli sample --help`"),
        (
            ["train", "dcgan", "shapes"],
            "unexpected argument 'shapes'",
            "did you mean --data shapes? type `gancli train --help`",
        ),
        (["presets", "dcgna"], "there is no preset 'dcgna'", "did you mean 'dcgan'?"),
    ],
)
def test_wrong_usage_names_the_nearest(words: list[str], error: str, hint: str) -> None:
    done = gancli(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith(f"error: {error}")
    assert second == f"hint: {hint}"


def test_wrong_values_of_options(failing, capsys: pytest.CaptureFixture[str]) -> None:
    failing(GancliError("not reached"))
    assert cli.run(["fail", "--steps", "many"]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: invalid value for '--steps': must be a whole number, not 'many'"
    assert hint == "hint: type `gancli fail --help`"
    assert cli.run(["fail", "--steps"]) == 2
    assert "--steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (GancliError("no such thing", "try another"), 2, "error: no such thing\nhint: try another\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            KeyError("x"),
            1,
            "error: unexpected failure: KeyError: 'x'\nhint: run again with --debug and report it\n",
        ),
        (typer.Exit(7), 7, ""),
        (
            OSError(errno.ENOSPC, "full", "runs/a/log.jsonl"),
            1,
            "error: no space left on device while writing runs/a/log.jsonl\n"
            "hint: free some space, or write to another disk (see `df -h`)\n",
        ),
        (
            PermissionError(errno.EACCES, "denied", "/x"),
            1,
            "error: /x: permission denied\nhint: choose another place, or change its permissions\n",
        ),
    ],
)
def test_what_goes_wrong_is_two_lines_and_a_code(
    failing, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, shown: str
) -> None:
    failing(error)
    assert cli.run(["fail"]) == code
    assert capsys.readouterr() == ("", shown)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "no memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...\nmore"),
        RuntimeError("CUDA error: out of memory"),
    ],
)
@pytest.mark.parametrize("command", ["train", "resume", "sample", "data"])
def test_out_of_memory_names_what_the_command_has_to_lower_it(error: Exception, command: str) -> None:
    shown = cli.explain(error, command)
    assert shown.exit_code == 1
    assert shown.message.startswith("out of memory")
    assert not shown.message.endswith((" ", ":"))
    assert "\n" not in shown.message
    named = re.findall(r"(?<=`)--\w+", shown.hint)
    assert bool(named) == (command != "data")
    options = {option for parameter in get_command(cli.app).commands[command].params for option in parameter.opts}
    assert set(named) <= options


def test_real_out_of_memory_of_torch() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert "out of memory" in cli.explain(caught.value).message
    assert "out of memory" in cli.explain(torch.OutOfMemoryError("CUDA out of memory. Tried ...")).message
    assert "unexpected" in cli.explain(RuntimeError("shapes do not match")).message


def test_a_compiler_that_fails_is_one_line_and_how_to_do_without() -> None:
    exc = pytest.importorskip("torch._inductor.exc")
    shown = cli.explain(exc.InductorError(RuntimeError("no C++ compiler\nmore\nand more"), None), "train")
    assert (shown.message.partition(":")[0], shown.exit_code) == ("torch.compile failed", 1)
    assert "no C++ compiler" in shown.message
    assert "\n" not in shown.message
    assert "--set train.compile=false" in shown.hint
    assert "gancli doctor" in shown.hint


def test_full_shared_memory_asks_for_no_workers() -> None:
    error = RuntimeError("unable to write to file </torch_1_2>: No space left on device (28)")
    assert "--workers 0" in cli.explain(error).hint


@pytest.mark.parametrize("words", [["--debug", "presets", "nope"], ["presets", "nope", "--debug"]])
def test_debug_shows_the_traceback(words: list[str]) -> None:
    shown = gancli(*words)
    assert "Traceback" in shown.stderr
    assert "error: there is no preset 'nope'" in shown.stderr
    assert shown.returncode == 2
    assert "Traceback" in gancli("presets", "nope", GANCLI_DEBUG="1").stderr
    assert "Traceback" not in gancli("presets", "nope", GANCLI_DEBUG="0").stderr


def test_debug_behind_two_dashes_is_a_word_of_the_user() -> None:
    done = gancli("presets", "--", "--debug")
    assert "there is no preset '--debug'" in done.stderr
    assert "Traceback" not in done.stderr


def test_closed_pipe_is_quiet() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-m", "gancli", "presets"], stdout=writing, stderr=subprocess.PIPE)
    assert done.returncode == 141
    assert done.stderr == b""
    done = subprocess.run([sys.executable, "-m", "gancli", "presets", "nope"], stdout=writing, stderr=writing)
    os.close(writing)
    assert done.returncode == 2


def test_a_broken_pipe_that_is_not_stdout_is_no_quiet_end(failing, capfd: pytest.CaptureFixture[str]) -> None:
    failing(BrokenPipeError(errno.EPIPE, "a loader process is gone"))
    assert cli.run(["fail"]) == 1
    assert "unexpected failure: BrokenPipeError" in capfd.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["presets"], ["--help"], ["presets", "--json"]])
def test_full_disk_behind_stdout(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "gancli", *words], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: no space left on device while writing the output"
    assert "Exception ignored" not in done.stderr


def test_closed_streams() -> None:
    for redirection, code in (("presets 2>&-", 0), ("nope 2>&-", 2), ("presets 2>&- >&-", 1)):
        done = subprocess.run(f"{sys.executable} -m gancli {redirection}", shell=True, capture_output=True)
        assert (done.returncode, done.stderr) == (code, b"")


@pytest.mark.parametrize(
    ("number", "code", "shown"), [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "")]
)
def test_signals(number: int, code: int, shown: str) -> None:
    script = (
        "import time, sys; from gancli.cli import app\n"
        "def wait():\n    print('ready', flush=True); time.sleep(30)\n"
        "app.app.command('wait')(wait); sys.argv = ['gancli', 'wait']; app.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.05)
    process.send_signal(number)
    assert process.communicate(timeout=10)[1] == shown
    assert process.returncode == code


def test_warnings_for_programmers_stay_away_and_others_are_one_line() -> None:
    script = (
        "import warnings, sys; from gancli.cli import app\n"
        "def warn():\n"
        "    warnings.warn('old way', DeprecationWarning)\n"
        "    warnings.warn_explicit('pin memory', UserWarning, 'x.py', 1, module='torch.utils.data.dataloader')\n"
        "    warnings.warn('overflow', RuntimeWarning)\n"
        "app.app.command('warn')(warn); sys.argv = ['gancli', 'warn']; app.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == "warning: overflow\n"


def test_completion_of_commands_and_presets() -> None:
    def complete(line: str) -> list[str]:
        words = line.split(" ")
        environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        return gancli(_GANCLI_COMPLETE="complete_bash", **environment).stdout.split()

    assert "presets" in complete("gancli pre")
    assert complete("gancli presets dcgan-m") == ["dcgan-mnist"]
    assert complete("gancli presets zzz") == []


def test_completion_script_for_the_shell_that_asks() -> None:
    # The words behind it keep bash from becoming gancli: it is the parent process that typer looks for.
    line = f"{sys.executable} -m gancli --show-completion; code=$?; exit $code"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.returncode == 0
    assert "_GANCLI_COMPLETE=complete_bash" in done.stdout


def test_completion_is_installed(tmp_path: Path) -> None:
    line = f"{sys.executable} -m gancli --install-completion; code=$?; exit $code"
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run(["bash", "-c", line], check=True, capture_output=True, env=environment)
    script = tmp_path / ".bash_completions" / "gancli.sh"
    assert str(script) in (tmp_path / ".bashrc").read_text()
    assert "_GANCLI_COMPLETE=complete_bash" in script.read_text()


@pytest.mark.parametrize(
    ("number", "name", "said"),
    [
        (errno.EDQUOT, "a.png", "your disk quota is used up, while writing a.png"),
        (errno.EROFS, "a.png", "a.png: read-only file system"),
        (errno.EFBIG, None, "the output: file too large"),
        (errno.EMFILE, "a.png", "a.png: too many open files"),
        (errno.ENAMETOOLONG, "a.png", "a.png: file name too long"),
        (errno.EIO, None, "the output: input/output error"),
        (errno.EBADF, None, "stdout is closed"),
    ],
)
def test_what_the_system_refuses_is_said_in_words(
    failing, capfd: pytest.CaptureFixture[str], number: int, name: str | None, said: str
) -> None:
    failing(OSError(number, os.strerror(number), name))
    assert cli.run(["fail"]) == 1
    assert f"error: {said}" in capfd.readouterr().err


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EFBIG])
def test_the_systems_words_in_errors_of_other_kinds(failing, capfd: pytest.CaptureFixture[str], number: int) -> None:
    failing(RuntimeError(f"unable to open shared memory object </torch_1> in read-write mode: {os.strerror(number)}"))
    assert cli.run(["fail"]) == 1
    err = capfd.readouterr().err
    assert "unexpected failure" not in err
    assert "ulimit" in err
