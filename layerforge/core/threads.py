"""Threads: how many cores this process may use, and work on arrays that is shared out among them."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from layerforge.core import control_group


def usable_cores(
    cgroup: Path = control_group.ROOT, membership: Path = control_group.MEMBERSHIP
) -> tuple[int, str]:
    """How many cores this process may use, and what limits them."""
    total = os.cpu_count() or 1
    cores, why = total, f"all {total} of the machine"
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    if affinity < cores:
        cores, why = affinity, f"affinity, of {total}"
    quota = min(filter(None, map(_quota, control_group.folders("cpu", cgroup, membership))), default=math.inf)
    if quota < cores:
        cores, why = max(1, math.ceil(quota)), f"control group quota of {quota:g}, of {total}"
    return cores, why


def _quota(group: Path) -> float | None:
    """Processor time per wall time that a control group (version 2 or 1) allows, or None."""
    with contextlib.suppress(OSError, ValueError):
        limit, period = (group / "cpu.max").read_text().split()[:2]
        return int(limit) / int(period) if limit != "max" and int(limit) > 0 < int(period) else None
    with contextlib.suppress(OSError, ValueError):
        limit, period = ((group / f"cpu.cfs_{what}_us").read_text().strip() for what in ("quota", "period"))
        return int(limit) / int(period) if int(limit) > 0 < int(period) else None
    return None


_limit: int | None = None


def set_count(threads: int | None) -> None:
    """From now on so many threads share work; None: as many as without this call."""
    global _limit
    _limit = threads


@contextlib.contextmanager
def limited(threads: int) -> Iterator[None]:
    """At most so many threads share work within the block."""
    before = _limit
    set_count(threads)
    try:
        yield
    finally:
        set_count(before)


def count() -> int:
    """How many threads share work: what was set, else OMP_NUM_THREADS, else the usable cores."""
    if _limit is not None:
        return _limit
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list has a number for each nesting
    return max(1, int(said)) if said.isdigit() else _cores()


def share(work: Callable[[slice], None], length: int, least: int) -> None:
    """Runs `work` on slices that cover 0 … length, on several threads where each gets at least `least`.

    What `work` does must not depend on where the slices lie. An exception of any of them is raised.
    """
    workers = max(1, min(count(), length // least))
    cuts = [length * k // workers for k in range(workers + 1)]
    mine, *others = (slice(a, b) for a, b in zip(cuts, cuts[1:]))
    running = [_pool(workers - 1).submit(work, part) for part in others]
    try:
        work(mine)
    finally:
        for each in running:
            each.exception()  # waits
    for each in running:
        each.result()


@functools.cache
def _cores() -> int:
    return usable_cores()[0]


@functools.cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, "layerforge")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # no thread lives on in a child
