"""Tables as plain text, and the registries of rows that `device_query` and of tables that `time` prints.

A room that has something to say registers it:

    @rows("device_query")
    def fabric(query): yield "Fabric", "NVLink, 900 GB/s"

    @tables("time")
    def memory(timing): return Table("Memory", ("layer", "MiB"), [...])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Row = tuple[str, str]  # a label and what it says

_rows: dict[str, list[Callable[..., Iterable[Row]]]] = {}
_tables: dict[str, list[Callable[..., Table | None]]] = {}


@dataclass(frozen=True)
class Table:
    """Columns of text. Numbers are formatted by whoever makes them; columns of numbers stand to the right.

    footer  rows below a line: totals
    """

    title: str
    columns: tuple[str, ...]
    body: Sequence[Sequence[str]]
    footer: Sequence[Sequence[str]] = ()

    def __str__(self) -> str:
        every = [self.columns, *self.body, *self.footer]
        widths = [max(len(row[i]) for row in every) for i in range(len(self.columns))]
        numeric = [bool(self.body) and all(_number(row[i]) for row in self.body) for i in range(len(self.columns))]

        def line(row: Sequence[str]) -> str:
            cells = (cell.rjust(w) if right else cell.ljust(w) for cell, w, right in zip(row, widths, numeric))
            return "  ".join(cells).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        lines = [self.title] if self.title else []
        lines += [line(self.columns), rule, *map(line, self.body)]
        lines += [rule, *map(line, self.footer)] if self.footer else []
        return "\n".join(lines)


def _number(cell: str) -> bool:
    text = cell.removesuffix("%").removesuffix("ms").strip().replace(",", "")
    try:
        float(text or "0")
    except ValueError:
        return cell == "-"
    return True


def listing(rows: Iterable[Row]) -> str:
    """Labels and what they say, aligned."""
    rows = list(rows)
    width = max((len(label) for label, _ in rows), default=0)
    return "\n".join(f"{label:<{width}}  {text}".rstrip() for label, text in rows)


def rows(command: str) -> Callable[[Callable[..., Iterable[Row]]], Callable[..., Iterable[Row]]]:
    """Registers a function that gives rows of a command's listing, in the order of registration."""

    def register(function: Callable[..., Iterable[Row]]) -> Callable[..., Iterable[Row]]:
        _rows.setdefault(command, []).append(function)
        return function

    return register


def tables(command: str) -> Callable[[Callable[..., Table | None]], Callable[..., Table | None]]:
    """Registers a function that gives a table of a command, or None when it has nothing to say."""

    def register(function: Callable[..., Table | None]) -> Callable[..., Table | None]:
        _tables.setdefault(command, []).append(function)
        return function

    return register


def collect_rows(command: str, subject: Any) -> Iterator[Row]:
    """Every row that is registered."""
    for function in _rows.get(command, ()):
        yield from function(subject)


def collect_tables(command: str, subject: Any) -> Iterator[Table]:
    """Every table that is registered and has something to say."""
    for function in _tables.get(command, ()):
        table = function(subject)
        if table is not None:
            yield table
