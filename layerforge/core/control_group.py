"""Control groups of Linux: the folders that say what a process may use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

ROOT, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def folders(controller: str, root: Path = ROOT, membership: Path = MEMBERSHIP) -> Iterator[Path]:
    """The process's own group and every group above it, each of which may be the tightest: version 2, then 1.

    controller  "cpu" or "memory"
    """
    for top, own in ((root, _own(membership, "")), (root / controller, _own(membership, controller))):
        folder = top / own.strip("/")
        yield from (level for level in (folder, *folder.parents) if level == top or top in level.parents)


def _own(membership: Path, controller: str) -> str:
    """The path of the process's group; "" where the system does not say. Lines read "number:controllers:path"."""
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            _, names, path = line.split(":", 2)
            if controller in names.split(",") and ".." not in path:
                return path
    return ""
