"""Threads: how many cores this process may use, and work on arrays that is shared out among them."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def usable_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> tuple[int, str]:
    """How many cores this process may use, and what limits them."""
    total = os.cpu_count() or 1
    cores, why = total, f"all {total} of the machine"
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    if affinity < cores:
        cores, why = affinity, f"affinity, of {total}"
    quota = _quota(cgroup)
    if quota is not None and quota < cores:
        cores, why = max(1, math.ceil(quota)), f"control group quota of {quota:g}, of {total}"
    return cores, why


def _quota(cgroup: Path) -> float | None:
    """Processor time per wall time that the control group allows (version 2, then 1), or None."""
    try:
        limit, period = (cgroup / "cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            limit = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    return None if limit == "max" or int(limit) <= 0 or int(period) <= 0 else int(limit) / int(period)


_limit: int | None = None


@contextlib.contextmanager
def limited(threads: int) -> Iterator[None]:
    """At most so many threads share work within the block."""
    global _limit
    before, _limit = _limit, threads
    try:
        yield
    finally:
        _limit = before


def count() -> int:
    """How many threads share work: what `limited` says, else OMP_NUM_THREADS, else the usable cores."""
    if _limit is not None:
        return _limit
    said = os.environ.get("OMP_NUM_THREADS", "")
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
