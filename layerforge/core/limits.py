"""Limits of this machine: how much memory a process may take."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from layerforge.core import control_group

FILES = ("memory.max", "memory.limit_in_bytes")  # control groups, version 2 and 1


def memory_limit(
    cgroup: Path = control_group.ROOT, membership: Path = control_group.MEMBERSHIP
) -> tuple[int, str]:
    """Bytes, and what sets the limit: the machine's memory or its control group; (0, "") where neither is known."""
    limit, why = 0, ""
    with contextlib.suppress(AttributeError, ValueError, OSError):
        limit, why = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "the machine's memory"
    for file in (folder / name for folder in control_group.folders("memory", cgroup, membership) for name in FILES):
        with contextlib.suppress(OSError, ValueError):  # not there, or "max"
            allowed = int(file.read_text())
            if 0 < allowed < (limit or allowed + 1):
                limit, why = allowed, "the control group's limit"
    return limit, why
