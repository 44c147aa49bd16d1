"""Files are whole or not there, and errors name what the user knows."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from gancli.files import replace_file, replacing, unused


def test_what_ends_early_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    replace_file(path, b"old")

    def interrupted() -> None:
        with replacing(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    wanted = tmp_path / "12.damaged"
    for name in ("12.damaged", "12.damaged-2", "12.damaged-3"):
        assert unused(wanted) == tmp_path / name
        (tmp_path / name).mkdir()


def test_an_error_names_the_file_that_the_user_knows(tmp_path: Path) -> None:
    for path in (tmp_path / "a.png", tmp_path / "missing" / "a.png"):
        with pytest.raises(OSError, match=r"a\.png") as caught, replacing(path):
            raise OSError(errno.ENOSPC, "full")
        assert str(caught.value.filename) == str(path)
