"""Tables of Markdown: written, read again, joined and compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

NOTHING = "–"
BEGIN = "<!-- `make bench ARGS=--write` writes what follows -->"
END = "<!-- and ends here -->"
NEWS = 0.1


@dataclass
class Table:
    """heads: of the columns, the first of which names the row;  rows: name → the other cells;  notes: lines below"""

    heads: tuple[str, ...]
    rows: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [self.heads, ("---",) * len(self.heads), *((name, *cells) for name, cells in self.rows.items())]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        return "\n\n".join([table, *self.notes])

    def value(self, row: str, head: str) -> float | None:
        """A number, or None where there is none."""
        cells = self.rows.get(row)
        return number(cells[self.heads.index(head) - 1]) if cells and head in self.heads else None


Tables = dict[str, Table]
"""Heading → table."""


def number(cell: str) -> float | None:
    try:
        return float(cell.replace(",", "").removesuffix("%"))
    except ValueError:
        return None


def show(value: float | None, digits: int = 2) -> str:
    return NOTHING if value is None or value != value else f"{value:,.{digits}f}"


def parse(text: str) -> Tables:
    """The tables between the marks, each under the nearest heading above."""
    tables: Tables = {}
    heading = ""
    for line in between(text).splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|"):
            cells = tuple(cell.strip() for cell in line.strip("| ").split(" | "))
            if heading not in tables:
                tables[heading] = Table(cells)
            elif set(cells[0]) != {"-"}:
                tables[heading].rows[cells[0]] = cells[1:]
        elif line.strip() and heading in tables:
            tables[heading].notes.append(line)
    return tables


def between(text: str) -> str:
    """What stands between the marks; "" where they are missing."""
    return text.partition(BEGIN)[2].partition(END)[0]


def written(text: str, tables: Mapping[str, Table], above: str = "") -> str:
    """The page with these tables between its marks, `above` before them.

    Raises ValueError for a page without marks.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    parts = [above] if above else []
    parts += [f"### {heading}\n\n{table}" for heading, table in tables.items()]
    return f"{head}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{tail}"


def joined(old: Mapping[str, Table], new: Mapping[str, Table], order: Sequence[str]) -> Tables:
    """The old tables with the new rows in the place of their own. A table whose columns have changed is new.

    order  of the rows; those that it does not name are left out
    """
    result: Tables = {}
    for heading in [*old, *(heading for heading in new if heading not in old)]:
        table, before = new.get(heading) or old[heading], old.get(heading)
        if before is None or before.heads != table.heads or set(before.rows) <= set(table.rows):
            before = Table(table.heads)
        rows = {**before.rows, **table.rows}
        notes = list(dict.fromkeys([*table.notes, *before.notes]))
        result[heading] = Table(table.heads, {name: rows[name] for name in order if name in rows}, notes)
    return result


def ratios(heads: Iterable[str]) -> list[str]:
    return [head for head in heads if head.endswith("÷")]


def less_is_better(head: str) -> bool:
    return head.startswith(("MiB", "set-up"))


def worse(old: Mapping[str, Table], new: Mapping[str, Table], by: float = NEWS) -> list[str]:
    """What got worse by more than this part: ratios that fell, of memory those that grew."""
    found = []
    for heading, table in new.items():
        for row in table.rows:
            for head in ratios(table.heads):
                have = table.value(row, head)
                had = old[heading].value(row, head) if heading in old else None
                if have is None or had is None:
                    continue
                change = had / have if less_is_better(head) else have / had
                if change < 1 - by:
                    found.append(f"{heading}: {row}: {head} {have:.2f}, was {had:.2f}")
    return found


def missed(table: Table, aims: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Which aims (row → head → at least; of memory at most) the table does not reach."""
    found = []
    for row, wanted in aims.items():
        for head, aim in wanted.items():
            have = table.value(row, head)
            less = less_is_better(head)
            if have is not None and (have > aim if less else have < aim):
                found.append(f"{row}: {head} {have:.2f}, to be {'at most' if less else 'at least'} {aim:g}")
    return found
