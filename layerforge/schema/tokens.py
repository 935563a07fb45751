"""Splits a prototxt into tokens that know where they stand."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from typing import NamedTuple

from layerforge.core.errors import PrototxtError
from layerforge.netdef.types import Where

_TOKEN = re.compile(
    r"""(?P<space>[\s]+|\#[^\n]*)
      |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
      |(?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?)(?![\w.]))
      |(?P<string>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')
      |(?P<mark>[{}<>\[\]:;,\-/.])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|x(?P<hex>[0-9a-fA-F]{1,2})"
    r"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})|(?P<one>.))"
)
_SINGLE = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"} | {c: c for c in "\\'\"?"}


class Token(NamedTuple):
    """kind is "name", "number", "string" (with its quotes), "mark" or "end"."""

    kind: str
    text: str
    start: int


class Text:
    """A text and its line numbers."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.lines = [0, *(m.end() for m in re.finditer("\n", text))]

    def where(self, start: int) -> Where:
        """The place of an offset."""
        line = bisect.bisect_right(self.lines, start)
        return Where(self.file, line, start - self.lines[line - 1] + 1)

    def tokens(self) -> Iterator[Token]:
        """All tokens, then one of kind "end" for ever.

        Raises PrototxtError at a character or number that cannot stand there, or a text whose quote is not closed.
        """
        start, end = 0, len(self.text)
        while start < end:
            found = _TOKEN.match(self.text, start)
            if found is None:
                raise self._no_token(start)
            if found.lastgroup != "space":
                yield Token(found.lastgroup or "", found.group(), start)
            start = found.end()
        while True:
            yield Token("end", "the end of the text", end)

    def _no_token(self, start: int) -> PrototxtError:
        c = self.text[start]
        if c in "\"'":
            line = self.text[start : start + 40].split("\n")[0]
            return PrototxtError(f"the text {line} has no closing quote on its line", where=self.where(start))
        if c.isdigit():
            word = re.match(r"[\w.+-]{1,40}", self.text[start:])
            return PrototxtError(f"{word.group() if word else c!r} is no number", where=self.where(start))
        hint = "is this a text file?" if ord(c) < 32 or c == "\ufffd" else None
        return PrototxtError(f"the character {c!r} cannot stand here", where=self.where(start), hint=hint)


def unquote(literal: str) -> bytes:
    """The bytes of a quoted text.

    Raises ValueError for an escape that is none.
    """
    body = literal[1:-1]
    if "\\" not in body:
        return body.encode("utf-8", "surrogateescape")
    parts: list[bytes] = []
    start = 0
    for m in _ESCAPE.finditer(body):
        parts += body[start : m.start()].encode("utf-8", "surrogateescape"), _escape(m)
        start = m.end()
    return b"".join(parts) + body[start:].encode("utf-8", "surrogateescape")


def _escape(m: re.Match[str]) -> bytes:
    if m["octal"] or m["hex"]:
        value = int(m["octal"], 8) if m["octal"] else int(m["hex"], 16)
        if value > 255:
            raise ValueError(f"{m.group()} is more than a byte")
        return bytes([value])
    if m["short"] or m["long"]:
        code = int(m["short"] or m["long"], 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise ValueError(f"{m.group()} is no character")
        return chr(code).encode()
    if m["one"] not in _SINGLE:
        raise ValueError(f"{m.group()} is no escape")
    return _SINGLE[m["one"]].encode()
