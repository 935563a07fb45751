"""Use: what a step does with a storage, from which lifetimes follow."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from layerforge.core.storage import Representation, Storage


class Access(Enum):
    """READ; MAY_READ reads or not; WRITE overwrites whole; UPDATE reads and changes in place; ADD writes after a clear,
    else updates."""

    READ = "reads"
    MAY_READ = "may read"
    WRITE = "overwrites"
    UPDATE = "updates"
    ADD = "adds to"


class Use(NamedTuple):
    """One access to a storage in one representation.

    over  a storage that the step reads in the same representation before it writes, place by place: what is written may
          lie there, if nobody reads that later
    """

    storage: Storage
    representation: Representation
    access: Access
    over: Storage | None = None


class Uses(NamedTuple):
    """The accesses of a step in its two passes, in order. Storages of the step's own count too, if the plan may place
    them; those that it does not name are its own business."""

    forward: tuple[Use, ...] = ()
    backward: tuple[Use, ...] = ()


def joined(uses: Iterable[Uses]) -> Uses:
    """What several do, one after the other forward, in reverse backward."""
    listed = list(uses)
    return Uses(tuple(u for each in listed for u in each.forward),
                tuple(u for each in reversed(listed) for u in each.backward))
