"""The terminal: plain lines where there is none, and a real pseudo-terminal that stays sane."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from gancli import console
from gancli.errors import GancliError

RECORD = {
    "step": 50,
    "images": 3200,
    "epoch": 0.06,
    "images_per_s": 1412.0,
    "eta_s": 95.1,
    "memory_mib": 812.0,
    "D": 1.21,
    "G": 0.93,
    "D(x)": 0.61,
    "D(G(z))": 0.4,
    "lr_D": 2e-4,
    "lr_G": 1e-5,
}
SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"


class Terminal:
    """A Python script in a pseudo-terminal of a given size."""

    def __init__(self, script: str, columns: int = 80, lines: int = 24, **environment: str) -> None:
        self.text = ""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environment = {"TERM": "xterm-256color", **environment}
        clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**clean, **environment},
            start_new_session=True,
        )
        os.close(slave)

    def read(self, until: str | None = None, seconds: float = 20) -> str:
        """Collects output until ``until`` appears, or until the script ends."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and (until is None or until not in self.text):
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self._master, 65536).decode()
                except OSError:
                    break
        if until is None:
            self.process.wait(timeout=5)
            os.close(self._master)
        return self.text


def on_screen(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def display_script(body: str, total: int = 3000) -> str:
    return (
        f"import time\nfrom gancli.console import TrainingDisplay, note\nrecord = {RECORD!r}\n"
        f"with TrainingDisplay(title='dcgan-shapes', total_steps={total}) as display:\n"
        + "".join(f"    {line}\n" for line in body.splitlines())
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (1.20996, "1.210"),
        (0.0123456, "0.012"),
        (-12.3456, "-12.35"),
        (999.94, "999.9"),
        (1412.3, "1412"),
        (99999.0, "99999"),
        (123456.0, "1.2e+05"),
        (0.0002, "2.0e-04"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_number(value: float, shown: str) -> None:
    assert console.number(value) == shown
    assert len(shown) <= 8


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (95.1, "1:35"), (3725, "1:02:05"), (100_000, "1 d 3 h")],
)
def test_duration(seconds: float, shown: str) -> None:
    assert console.duration(seconds) == shown


def test_error_warning_and_note_go_to_stderr_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    console.print_error(GancliError(f"first [red]line[/red]\n{long}", "type `gancli [bold]`"))
    console.print_error(GancliError("no hint"))
    console.warn("careful [1]")
    console.note("runs/a")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"error: first [red]line[/red]\n{long}\nhint: type `gancli [bold]`\n"
        "error: no hint\nwarning: careful [1]\nruns/a\n"
    )


def test_table_is_aligned_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(("name", "of what"), [("a", "x" * 200), ("日本", "[b]y"), ("", "")])
    out, err = capsys.readouterr()
    assert out.splitlines() == ["name  of what", "a     " + "x" * 200, "日本  [b]y", ""]
    assert err == ""


def test_table_fits_a_terminal() -> None:
    script = "from gancli.console import table\ntable(('a', 'b'), [('first', 'word ' * 40), ('[x]', 'y')])"
    lines = on_screen(Terminal(script, columns=40).read()).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 40
    assert sum(line.count("word") for line in lines) == 40
    assert any(line.startswith("[x]") for line in lines)


def test_short_work_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("decoding", 100) as shown:
        for _ in range(100):
            shown.advance()
    assert capsys.readouterr() == ("", "")


def test_long_work_shows_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    with console.progress("decoding", 40) as shown:
        for _ in range(20):
            now += 0.6
            shown.advance()
        shown.update(30, total=60)
    assert capsys.readouterr().err.splitlines() == [
        "decoding: 9/40 (22 %), 0:19 left",
        "decoding: 18/40 (45 %), 0:13 left",
        "decoding: 30 in 0:12",
    ]
    with console.progress("reading") as shown:
        now += 7
        shown.update(3)
    assert capsys.readouterr().err.splitlines() == ["reading: 3", "reading: 3 in 0:07"]


def test_bar_on_a_terminal_comes_after_a_second_and_goes_away() -> None:
    script = (
        "import time\nfrom gancli.console import progress\n"
        "with progress('decoding', 300) as shown:\n"
        "    for _ in range(300):\n        time.sleep(0.006); shown.advance()\n"
        "print('done')"
    )
    terminal = Terminal(script)
    start = time.monotonic()
    terminal.read(until="decoding")
    assert time.monotonic() - start > 0.9
    text = terminal.read()
    assert "/300" in on_screen(text)
    assert text.rindex(SHOW_CURSOR) > text.rindex(HIDE_CURSOR)
    assert "\x1b[2K" in text[text.rindex("decoding") :]
    assert text.rstrip().endswith("done")


def test_training_without_a_terminal_is_one_plain_line_per_record(capsys: pytest.CaptureFixture[str]) -> None:
    with console.TrainingDisplay(title="dcgan-shapes", total_steps=3000, start_step=0) as display:
        for step in range(1, 101):
            display.advance(step=step, images=64)
        display.record(RECORD)
        display.record({**RECORD, "step": 3000, "D": -123.456, "penalty": 5e-6})
        console.note("checkpoint runs/[x]/checkpoints/500")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "dcgan-shapes: steps 0 to 3000",
        "step   50/3000  epoch   0.06  D    1.210  G    0.930  D(x)    0.610  D(G(z))    0.400  "
        "lr_D 0.0002  lr_G 1e-05  1412 images/s  812 MiB  1:35 left",
        "step 3000/3000  epoch   0.06  D   -123.5  G    0.930  D(x)    0.610  D(G(z))    0.400  penalty  5.0e-06  "
        "lr_D 0.0002  lr_G 1e-05  1412 images/s  812 MiB  1:35 left",
        "checkpoint runs/[x]/checkpoints/500",
    ]


@pytest.mark.parametrize("environment", [{"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}])
def test_forced_colours_in_a_pipe_are_no_animation(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", display_script("display.record(record)")],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.stderr.count("\n") == 2
    assert HIDE_CURSOR not in done.stderr


def test_dumb_terminal_gets_plain_lines() -> None:
    text = Terminal(display_script("display.record(record)"), TERM="dumb").read()
    assert "\x1b" not in text
    assert "step   50/3000" in text


def test_no_color_keeps_the_live_table_without_colours() -> None:
    text = Terminal(display_script("display.record(record)"), NO_COLOR="1").read()
    assert HIDE_CURSOR in text
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", text)
    coloured = Terminal(display_script("display.record(record)")).read()
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m", coloured)


def test_training_on_a_terminal() -> None:
    body = (
        "for step in range(1, 11):\n"
        "    display.record({**record, 'step': 50 * step, 'D': 1 / step})\n"
        "note('checkpoint 500')\n"
        "display.advance(step=600, images=64)"
    )
    text = Terminal(display_script(body)).read()
    assert text.count(HIDE_CURSOR) == text.count(SHOW_CURSOR) == 1
    last = on_screen(text[text.rindex("checkpoint 500") :])
    assert re.search(r"step +D +G +D\(x\) +D\(G\(z\)\)", last)
    shown = re.findall(r"^ *(\d+) +([\d.]+) +0\.930 +0\.610 +0\.400", last, re.MULTILINE)
    assert shown[-8:] == [(str(50 * step), console.number(1 / step)) for step in range(3, 11)]
    assert "lr_D 0.0002  lr_G 1e-05  1412 images/s  812 MiB" in last
    assert re.search(r"dcgan-shapes  20\.0 %  600/3000  0:0\d elapsed, 1:3\d left", last)


def test_training_on_a_terminal_says_how_long_it_takes() -> None:
    text = on_screen(Terminal(display_script("display.advance(step=3000, images=64)")).read())
    assert "dcgan-shapes  0.0 %  0/3000  0:00 elapsed, estimating" in text
    assert re.search(r"3000/3000  done in 0:0\d", text)


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 10), (200, 50), (15, 5)])
def test_many_losses_fit_every_terminal(columns: int, lines: int) -> None:
    names = [
        f"{part}_{side}" for part in ("D", "G", "cycle", "identity", "a_very_long_name_of_a_loss") for side in "AB"
    ]
    body = f"for step in range(1, 11): display.record({{'step': step, **dict.fromkeys({names}, 1.5)}})"
    text = Terminal(display_script(body), columns=columns, lines=lines).read()
    assert "Traceback" not in text
    last = on_screen(text[text.rindex("\x1b[2K") :])
    assert max(len(line.rstrip()) for line in last.splitlines()) <= columns
    if columns >= 40:
        for name in names:
            assert name in last


def test_interrupt_leaves_the_terminal_sane() -> None:
    terminal = Terminal(display_script("display.record(record)\nprint('ready')\ntime.sleep(30)"))
    terminal.read(until="ready")
    terminal.process.send_signal(signal.SIGINT)
    text = terminal.read()
    assert text.rindex(SHOW_CURSOR) > text.rindex(HIDE_CURSOR)
    assert terminal.process.returncode != 0


def test_progress_within_training_is_silent() -> None:
    body = (
        "from gancli.console import progress\n"
        "with progress('sampling', 3) as shown:\n"
        "    for _ in range(3): time.sleep(0.6); shown.advance()"
    )
    text = Terminal(display_script(body)).read()
    assert "sampling" not in text
    assert "Traceback" not in text


def test_advance_is_cheap() -> None:
    with console.TrainingDisplay(title="x", total_steps=10) as display:
        start = time.perf_counter()
        for step in range(10_000):
            display.advance(step=step, images=64)
        assert (time.perf_counter() - start) / 10_000 < 20e-6


def test_a_lost_stderr_does_not_stop_the_run() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    body = "display.record(record)\nnote('x')\nprint('checkpoint written')"
    done = subprocess.run(
        [sys.executable, "-c", display_script(body)], stdout=subprocess.PIPE, stderr=writing, text=True
    )
    os.close(writing)
    assert (done.returncode, done.stdout) == (0, "checkpoint written\n")
