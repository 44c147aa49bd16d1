from __future__ import annotations

import codecs
import json

import pytest

from gancli.data.opening import open_source
from gancli.errors import GancliError
from gancli.generation.inputs import find_inputs
from gancli.text import to_text
from gancli.yamltree import from_file

TEXT = "eins: ä\nzwei: \u732b\n"
ENCODED = {
    "utf-8": TEXT.encode(),
    "utf-8 with a mark": codecs.BOM_UTF8 + TEXT.encode(),
    "utf-16, little": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "utf-16, big": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
}


@pytest.mark.parametrize("content", ENCODED.values(), ids=ENCODED)
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_text_of_all_editors(content, ending):
    marks = codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
    mark = next((mark for mark in marks if content.startswith(mark)), b"")
    encoding = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}.get(mark, "utf-8")
    assert to_text(mark + TEXT.replace("\n", ending).encode(encoding), "x") == TEXT


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a\r\nb\nä".encode("latin-1"), "x:3: not UTF-8 text"),
        (codecs.BOM_UTF16_LE + "a\nb".encode("utf-16-le") + b"x", "x:2: not UTF-16 text"),
        ("ab\n".encode("utf-16-le"), "x:1: not text, or UTF-16 text without"),
        (codecs.BOM_UTF32_LE + "a".encode("utf-32-le"), "x:1: UTF-32"),
        (b"a\nb\n\0", "x:3: not text"),
    ],
)
def test_other_text_is_refused_with_its_line(content, said):
    with pytest.raises(GancliError, match=said):
        to_text(content, "x")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_whoever_reads_text(tmp_path, encoding, ending):
    def write(name: str, text: str) -> str:
        (tmp_path / name).write_bytes(text.replace("\n", ending).encode(encoding))
        return str(tmp_path / name)

    found = find_inputs([], write("list", "a ä.png\n\nb.png"), recursive=False, wanted=bool)
    assert [str(item) for item in found] == ["a ä.png", "b.png"]
    node = from_file(tmp_path / write("c.yaml", "data:\n  flip: true\n"), "c.yaml", 0, [])
    assert node.plain() == {"data": {"flip": True}}
    (tmp_path / "data").mkdir()
    for name in ("1.png", "ä.png"):
        (tmp_path / "data" / name).write_bytes(b"")
    write("data/dataset.json", json.dumps({"labels": [["1.png", 0], ["ä.png", 1]]}, ensure_ascii=False, indent=1))
    assert open_source(str(tmp_path / "data")).labels.tolist() == [0, 1]


def test_lists_have_a_limit(tmp_path, monkeypatch):
    (tmp_path / "list").write_text("a\n" * 30)
    for name in ("MOST_LISTED", "LARGEST_LIST"):
        with monkeypatch.context() as patch:
            patch.setattr(f"gancli.generation.inputs.{name}", 20)
            with pytest.raises(GancliError, match="too large for a list of paths"):
                find_inputs([], str(tmp_path / "list"), recursive=False, wanted=bool)
