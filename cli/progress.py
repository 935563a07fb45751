"""How far a command is: a bar on a terminal, a line now and then elsewhere; both on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterable[T], what: str, total: int | None = None, every: int = 1000) -> Iterator[T]:
    """The items, and on the way how many there were.

    what   the items in words: "pictures"
    every  how many go by between two lines where there is no terminal
    """
    yield from _bar(items, what, total) if sys.stderr.isatty() else _lines(items, what, total, every)


def _lines(items: Iterable[T], what: str, total: int | None, every: int) -> Iterator[T]:
    count = 0
    for count, item in enumerate(items, 1):
        yield item
        if count % every == 0:
            print(f"{count:,} of {total:,} {what}" if total else f"{count:,} {what}", file=sys.stderr, flush=True)


def _bar(items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn()
    shown = sys.stdout.isatty()  # else what the command prints goes to a file or a pipe, past the bar
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4,
                  redirect_stdout=shown) as progress:
        task = progress.add_task(what, total=total)
        for item in items:
            yield item
            progress.advance(task)
