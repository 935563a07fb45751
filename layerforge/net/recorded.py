"""Work that repeats on a device: run step by step to warm up, then recorded once, then launched as a whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import attrgetter, ne
from typing import Any

from layerforge.core.errors import NotRecordable
from layerforge.core.random import Random
from layerforge.core.storage import HOST, Representation, Storage

log = logging.getLogger("layerforge")

WARM_UP = 2  # runs before a recording: kernels are compiled, memory is taken, tables are moved to the device


def versions_of(storages: Sequence[Storage]) -> list[int]:
    return list(map(attrgetter("version"), storages))


def counts_of(storages: Sequence[Storage]) -> list[int]:
    return list(map(attrgetter("count"), storages))


@dataclass
class _Taken:
    """A recording, and what must still be so for it to be right.

    before     per storage, the representations that held its value when the recording began; none if it was cleared
    after      storage number → the representations that hold the value which the recording writes
    addresses  per storage, where its copies lie
    draws      random stream → (draws taken before the recording, draws it takes)
    """

    recording: Any
    storages: list[Storage]
    counts: list[int]
    before: list[tuple[Representation, ...]]
    after: dict[int, tuple[Representation, ...]]
    addresses: list[list[tuple[Representation, int]]]
    draws: dict[str, tuple[int, int]]
    keys: dict[str, tuple[int, int]]
    places: object
    versions: list[int] = field(default_factory=list)
    stale: list[int] = field(default_factory=list)  # storages of which it reads copies that it then makes old itself

    def note(self) -> None:
        """The values are those of the last launch from here on. Copies that are old now are to be brought again."""
        self.versions = versions_of(self.storages)
        for i in self.stale:
            self.versions[i] = -1


class Recorded:
    """One piece of repeated work.

    run        does it
    storages   all that it may read or write
    rng        the random streams it may draw from
    renumber   launches again, with kernels muted, what has other numbers in each launch; None: nothing has
    control    of the training run that it belongs to, if the device judges that
    places     what changes when memory has moved that is no storage's
    tidy       called before a recording, so that it includes conversions which it makes stale itself
    reason     why it is not recorded, "" while it is or may be

    Recordings are kept by which storages were cleared when they began: what is added to a cleared gradient overwrites.
    One whose storages have moved or changed their size is dropped, and it warms up again.
    """

    def __init__(
        self, recorder: Any, run: Callable[[], None], storages: Callable[[], Sequence[Storage]],
        rng: Random | None = None, *, what: str = "this work", renumber: Callable[[], None] | None = None,
        control: Any = None, places: Callable[[], object] = lambda: None,
        tidy: Callable[[], None] = lambda: None, reason: str = "",
    ) -> None:
        self._recorder, self._run, self._storages, self._rng = recorder, run, storages, rng
        self.what, self.reason = what, reason
        self._renumbered, self._control, self._places, self._tidy = renumber, control, places, tidy
        self._taken: dict[tuple[int, ...], _Taken] = {}
        self._warm: dict[tuple[int, ...], int] = {}
        self.launches = 0

    def __call__(self) -> None:
        """Does the work, by a recording if there is one that fits."""
        if self.reason or self._recorder is None:
            self._run()
            return
        storages = list(self._storages())
        key = tuple(i for i, storage in enumerate(storages) if storage.cleared)
        taken = self._taken.get(key)
        if taken is not None and self._ready(taken, storages) and self._renumber(taken):
            self._replay(taken)
        elif taken is not None:
            self._recorder.drop()
            self._taken.clear()
            self._warm = {key: 1}
            self._run()
        elif self._warm.get(key, 0) < WARM_UP:
            self._warm[key] = self._warm.get(key, 0) + 1
            self._run()
        else:
            self._record(key, storages)

    def _ready(self, taken: _Taken, storages: list[Storage]) -> bool:
        """Brings what changed since to the device; False if something no longer is where the recording looks for it."""
        if storages != taken.storages or counts_of(storages) != taken.counts or self._places() != taken.places:
            return False
        if any(self._stream(name).key != key for name, key in taken.keys.items()):
            return False
        changed = map(ne, versions_of(storages), taken.versions)
        for i in compress(range(len(storages)), changed):
            storage = storages[i]
            if not storage.cleared:
                for representation in taken.before[i]:
                    storage.array(representation)
            for representation, address in taken.addresses[i]:
                held = storage.held(representation)
                if held is None or self._recorder.address(held) != address:
                    return False
        return True

    def _renumber(self, taken: _Taken) -> bool:
        """Writes the changing numbers; False if the work is not what was recorded."""
        if self._renumbered is not None:
            try:
                with self._recorder.renumbering(taken.recording):
                    self._renumbered()
            except NotRecordable:
                return False
        return True

    def _replay(self, taken: _Taken) -> None:
        moved = {name: self._stream(name).draws - begin for name, (begin, _) in taken.draws.items()}
        if moved:
            taken.recording.numbers.redraw({taken.keys[name]: later for name, later in moved.items()})
        self._launch(taken)
        for name, (_, count) in taken.draws.items():
            self._stream(name).draws += count
        for i, representations in taken.after.items():
            taken.storages[i].renew(representations)
        taken.note()

    def _record(self, key: tuple[int, ...], storages: list[Storage]) -> None:
        """Records the work and launches it; where that cannot be, says why, once, and runs it."""
        self._tidy()
        self._bring(storages)
        before = [tuple(r for r in storage.fresh() if r is not HOST) for storage in storages]
        versions, draws = versions_of(storages), self._rng.state() if self._rng else {}
        try:
            with self._recorder.recording(self._control) as recording:
                self._run()
            drawn = self._drawn(draws)
            self._check_draws(drawn, recording.numbers.keys)
        except NotRecordable as why:
            self._undo(key, storages, draws)
            self.reason = why.message
            log.warning("%s is not recorded as a CUDA graph: %s", self.what, why.message)
            self._run()
            return
        after = {i: tuple(r for r in storage.fresh() if r is not HOST)
                 for i, (storage, version) in enumerate(zip(storages, versions)) if storage.version != version}
        seen = [{r: None for r in (*before[i], *after.get(i, ()))} for i in range(len(storages))]
        taken = _Taken(
            recording, storages, counts_of(storages), before, {i: r for i, r in after.items() if r},
            [[(r, self._recorder.address(storage.held(r))) for r in kinds] for storage, kinds in zip(storages, seen)],
            drawn, {name: self._stream(name).key for name in drawn}, self._places(),
        )
        taken.stale = [i for i, kinds in taken.after.items() if not set(before[i]) <= set(kinds)]
        taken.note()
        self._taken[key] = taken
        self._launch(taken)

    def _bring(self, storages: list[Storage]) -> None:
        """Moves to the device what only the host holds: a recording cannot."""
        for storage in storages:
            if storage.fresh() == (HOST,):
                for representation in storage.kept():
                    storage.array(representation)

    def _launch(self, taken: _Taken) -> None:
        taken.recording.launch()
        self.launches += 1

    def _drawn(self, before: dict[str, int]) -> dict[str, tuple[int, int]]:
        """The streams that moved: (draws before, draws taken)."""
        now = self._rng.state() if self._rng else {}
        return {name: (n, now[name] - n) for name in now if now[name] != (n := before.get(name, 0))}

    def _check_draws(self, drawn: dict[str, tuple[int, int]], keys: set[Any]) -> None:
        """Raises NotRecordable when numbers were drawn on the host: every launch would repeat them."""
        for name in drawn:
            if self._stream(name).key not in keys:
                raise NotRecordable(f"the random numbers of {name} are drawn on the host")

    def _stream(self, name: str) -> Any:
        assert self._rng is not None
        return self._rng.stream_of(name)

    def _undo(self, key: tuple[int, ...], storages: list[Storage], draws: dict[str, int]) -> None:
        """Takes back what an unfinished recording counted as done."""
        for i in key:
            storages[i].clear()
        for name in self._rng.state() if self._rng else ():
            self._stream(name).draws = draws.get(name, 0)
