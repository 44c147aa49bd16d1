"""Text that users give: lists, YAML and JSON, as editors of all systems write it. Importable without torch."""

from __future__ import annotations

import codecs

from gancli.errors import GancliError

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def to_text(content: bytes, name: str, hint: str = "save it as UTF-8") -> str:
    """Returns the text in a file: UTF-8 with or without a byte order mark, or UTF-16 with one.

    Every line ends in a line feed, whatever it ended in.

    Raises:
        GancliError: it is something else; the message begins with ``name`` and the line.
    """
    mark, encoding = next(((mark, kind) for mark, kind in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    if content.startswith(_UTF_32):
        raise GancliError(f"{name}:1: UTF-32 text, which is not read", hint)
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        before = content[len(mark) :][: error.start].decode(encoding, errors="replace")
        what = "UTF-8" if encoding == "utf-8" else "UTF-16"
        raise GancliError(f"{name}:{len(_lines(before))}: not {what} text", hint) from error
    if "\0" in text:
        line = len(_lines(text[: text.index("\0")]))
        raise GancliError(f"{name}:{line}: not text, or UTF-16 text without a byte order mark", hint)
    return "\n".join(_lines(text))


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
