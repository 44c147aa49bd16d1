"""Runs the README's commands, so that CI types what the README tells its readers to type.

Every ```` ```sh ```` block of README.md has one of these comments on the line before it:

``<!-- install -->``  how to start, from the checkout
``<!-- test -->``     how to run the tests, from the checkout
``<!-- run -->``      an example that CI runs
``<!-- shown -->``    an example that CI cannot run: it needs a GPU, a network connection or the reader's own images

``python tools/readme.py commands install`` prints such a block's commands for bash; ``python tools/readme.py run DIR``
runs the ``run`` blocks in DIR.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

KINDS = ("install", "test", "run", "shown")
FENCE = re.compile(r"\s*(`{3,}|~{3,})\s*(\S*)")


class Block(NamedTuple):
    """One block of commands: its kind, the line number of its fence (from 1), and its text."""

    kind: str
    line: int
    commands: str


def blocks(text: str) -> list[Block]:
    """Returns the ``sh`` blocks of a Markdown text, in order.

    Raises:
        SystemExit: a block has no kind or never ends, a comment has no block after it, or there is not exactly one
            ``install`` block and one ``test`` block.
    """
    found: list[Block] = []
    lines = text.splitlines()
    kind, number = "", 0
    while number < len(lines):
        line = lines[number]
        number += 1
        fence = FENCE.match(line)
        if fence is None:
            if kind:
                sys.exit(f"README.md:{number}: <!-- {kind} --> must be on the line before a ```sh block")
            comment = re.fullmatch(r"\s*<!-- (\w+) -->", line)
            kind = comment[1] if comment and comment[1] in KINDS else ""
            continue
        begin = number
        while number < len(lines) and not re.fullmatch(rf"\s*{fence[1]}\s*", lines[number]):
            number += 1
        if number == len(lines):
            sys.exit(f"README.md:{begin}: the block never ends")
        if fence[2] in ("bash", "shell", "console"):
            sys.exit(f"README.md:{begin}: use ```sh for blocks of commands")
        if (fence[2] == "sh") != bool(kind):
            sys.exit(f"README.md:{begin}: a ```sh block needs one of {', '.join(KINDS)} in a comment just before it")
        if kind:
            found.append(Block(kind, begin, "".join(f"{command}\n" for command in lines[begin:number])))
        kind, number = "", number + 1
    if kind:
        sys.exit(f"README.md: <!-- {kind} --> at the end has no ```sh block after it")
    for once in ("install", "test"):
        if [block.kind for block in found].count(once) != 1:
            sys.exit(f"README.md: exactly one block of commands must have <!-- {once} -->")
    return found


def run(chosen: list[Block], directory: Path) -> None:
    """Runs blocks one after the other in ``directory``, each in its own shell, which stops at the first failure.

    The shell does not stop at a failure on the left of ``&&`` or ``||``, unless it is the block's last line.

    Raises:
        SystemExit: a block failed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GANCLI_HOME": str(directory.resolve() / "home")}
    for block in chosen:
        print(f"-- README.md:{block.line}", flush=True)
        begin = time.monotonic()
        command = ["bash", "-euxo", "pipefail", "-c", block.commands]
        code = subprocess.run(command, cwd=directory, env=environment, stdin=subprocess.DEVNULL).returncode
        print(f"-- README.md:{block.line} took {time.monotonic() - begin:.1f} s", flush=True)
        if code:
            sys.exit(f"README.md:{block.line}: these commands failed with exit code {code}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs the README's commands.")
    subparsers = parser.add_subparsers(dest="action", required=True)
    printing = subparsers.add_parser("commands", help="print the commands of a kind")
    printing.add_argument("kind", choices=KINDS)
    running = subparsers.add_parser("run", help="run the examples")
    running.add_argument("directory", type=Path, help="where runs and pictures go; created if it does not exist")
    arguments = parser.parse_args()
    found = blocks((Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8"))
    if arguments.action == "commands":
        print("".join(block.commands for block in found if block.kind == arguments.kind), end="")
    else:
        run([block for block in found if block.kind == "run"], arguments.directory)


if __name__ == "__main__":
    main()
