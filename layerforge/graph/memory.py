"""Memory: the values of one iteration packed into one arena by their lifetimes.

A value lives from the step that writes it to the last step that reads it, over forward, then backward. Values whose
lifetimes do not meet may stand in the same place. A value in a second representation is a second value.
"""

from __future__ import annotations

import bisect
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from layerforge.core.storage import HOST, Representation, Storage
from layerforge.core.use import Access, Use
from layerforge.engines.step import MAX_SHAPES
from layerforge.graph.step import Step

ALIGNMENT = 64  # bytes, a cache line
Shapes = tuple[tuple[int, ...], ...]
Move = Callable[[], None]


_NONE: Mapping[Storage, Representation] = MappingProxyType({})


@dataclass(eq=False)
class Value:
    """One copy of a storage's value, alive from step `first` to step `last`, both included.

    length, dtype  its array; length 0: it takes its own memory
    offset         bytes from the start of the arena
    final          with it the storage's value is gone
    over           a value whose place it takes in its first step, which is that one's last
    """

    storage: Storage
    representation: Representation
    first: int
    last: int
    length: int
    dtype: np.dtype[Any]
    offset: int = 0
    final: bool = False
    over: Value | None = None

    @property
    def nbytes(self) -> int:
        """Its size, rounded up to cache lines."""
        return -(-self.length * self.dtype.itemsize // ALIGNMENT) * ALIGNMENT


def lifetimes(
    timeline: Sequence[Iterable[Use]], held: Collection[Storage] = (), homes: Mapping[Storage, Representation] = _NONE
) -> list[Value]:
    """The values of all storages but those held, and those that are read before anything writes them.

    homes  storages that keep their value in this representation, whatever the iteration does: parameters. Only their
           conversions are placed.
    """
    outside = set(held).difference(homes)
    live = {storage: {home: Value(storage, home, 0, 0, 0, storage.dtype)} for storage, home in homes.items()}
    values: list[Value] = []
    maybe: dict[Storage, set[Representation]] = {}  # copies that were made if a reader did read
    newest: dict[tuple[Storage, Representation], Value] = {}

    def begin(storage: Storage, representation: Representation, now: int) -> Value:
        old = newest.get((storage, representation))
        if old is not None and old.last == now:  # this very step used the old value: it is changed in place
            return old
        extent = getattr(representation, "extent", lambda count, dtype: (0, dtype))
        value = Value(storage, representation, now, now, *extent(storage.count, storage.dtype))
        values.append(value)
        newest[storage, representation] = value
        return value

    def read(storage: Storage, representation: Representation, now: int, sure: bool) -> None:
        copies, unsure = live[storage], maybe.setdefault(storage, set())
        if representation not in copies or representation in unsure:  # it has to be made from one that is there
            have, source = next((each, copy) for each, copy in copies.items() if each not in unsure)
            source.last = now
            if not _direct(have, representation):
                read(storage, HOST, now, sure)
            copies[representation] = copies.get(representation) or begin(storage, representation, now)
            (unsure.discard if sure else unsure.add)(representation)
        copies[representation].last = now

    for now, uses in enumerate(timeline):
        for storage, representation, access, over in uses:
            if storage in outside:
                continue
            if access is not Access.WRITE and storage in live:
                read(storage, representation, now, access is not Access.MAY_READ)
            elif access in (Access.READ, Access.MAY_READ, Access.UPDATE):
                outside.add(storage)
                continue
            if access not in (Access.READ, Access.MAY_READ):
                value = begin(storage, representation, now)
                value.over = newest.get((over, representation)) if over is not None and value.first == now else None
                live[storage] = {representation: value}
                maybe.pop(storage, None)
    _settle(values, outside)
    values = [value for value in values if value.storage not in outside]
    _mark_final(value for value in values if value.storage not in homes)
    return values


def _settle(values: Sequence[Value], outside: set[Storage]) -> None:
    """Nobody takes the place of a value that is read later, that another has taken, or that no plan places."""
    taken: set[Value] = set()
    for value in values:
        old = value.over
        if old is None:
            continue
        fits = old.last == value.first and (old.length, old.dtype) == (value.length, value.dtype)
        if not fits or not value.length or old in taken or outside.intersection((old.storage, value.storage)):
            value.over = None
        else:
            taken.add(old)


def _direct(have: Representation, want: Representation) -> bool:
    """Whether the conversion needs no plain copy between."""
    takes = getattr(want, "takes", None)
    return have is HOST or want is HOST or (takes is not None and takes(have))


def _mark_final(values: Iterable[Value]) -> None:
    """The last copy of a storage's value takes the value with it."""
    of: dict[Storage, list[Value]] = {}
    for value in values:
        of.setdefault(value.storage, []).append(value)
    for copies in of.values():
        for value in copies:
            value.final = not any(other.first <= value.last < other.last for other in copies)


def pack(values: Sequence[Value]) -> int:
    """Gives each value its offset; returns the size of the arena. The largest first, each into the tightest gap."""
    placed: list[Value] = []  # by offset
    total = 0
    follower = {value.over: value for value in values if value.over is not None}
    until = {value: value.last for value in values}  # with those that take its place
    for value in values:
        last = value
        while last in follower:
            last = follower[last]
        until[value] = last.last
    for value in sorted((v for v in values if v.over is None), key=lambda v: (-v.nbytes, v.first)):
        end, best, room = 0, -1, 0
        for other in placed:
            if other.first > until[value] or until[other] < value.first:
                continue
            gap = other.offset - end
            if gap >= value.nbytes and (best < 0 or gap < room):
                best, room = end, gap
            end = max(end, other.offset + other.nbytes)
        value.offset = end if best < 0 else best
        total = max(total, value.offset + value.nbytes)
        bisect.insort(placed, value, key=lambda v: v.offset)
        while value in follower:
            follower[value].offset = value.offset
            value = follower[value]
    return total


@dataclass(frozen=True)
class MemoryPlan:
    """The values of an iteration with their places.

    steps   how many steps forward has; backward is as long
    nbytes  size of the arena
    loose   what they would take side by side, each storage's representation once
    """

    values: tuple[Value, ...]
    steps: int
    nbytes: int

    @property
    def sizes(self) -> dict[tuple[Storage, Representation], int]:
        """Bytes of each storage's representation."""
        return {(value.storage, value.representation): value.nbytes for value in self.values}

    @property
    def loose(self) -> int:
        return sum(self.sizes.values())


@dataclass
class Around:
    """What a plan must know beside the steps.

    held       storages that no plan places: read between passes, shared with other nets, or put there by a user
    homes      parameters whose conversions are placed
    finishing  step number → what happens right after its backward: updates of parameters
    """

    held: Collection[Storage] = ()
    homes: Mapping[Storage, Representation] = field(default_factory=dict)
    finishing: Mapping[int, Sequence[Use]] = field(default_factory=dict)


def plan_memory(steps: Sequence[Step], around: Around) -> MemoryPlan:
    """Forward by the steps, then backward by them in reverse."""
    uses = [step.uses() for step in steps]
    backward = [(*u.backward, *around.finishing.get(i, ())) for i, u in enumerate(uses)]
    values = lifetimes([*(u.forward for u in uses), *reversed(backward)], around.held, around.homes)
    return MemoryPlan(tuple(values), len(steps), pack(values))


class Memory:
    """The arena of a net, and what of it is in use.

    A whole forward pass begins an iteration; the whole backward pass that follows goes on with it. Anything else gives
    the arena up: storages then take their own memory, and what was not kept is lost.

    packs     whether there is an arena; if not, every storage always has its own memory
    position  what comes next: the number of a step, backward goes on from there; -1: the arena is given up
    taken     how often an arena was taken
    bound     steps as calls on the arena as it is: gone when that is given up
    poison    fills places with NaN before and after use: what is not written cannot be read unseen (for tests)
    """

    poison = False

    def __init__(
        self, steps: Sequence[Step], held: Collection[Storage], shapes: Callable[[], Shapes], packs: bool
    ) -> None:
        """shapes  gives the present shapes of all blobs, which a plan is for"""
        self.packs, self.around = packs, Around(held)
        self._steps, self._shapes_now = steps, shapes
        self._plans: dict[Shapes, MemoryPlan] = {}
        self._plan: MemoryPlan | None = None
        self._block: np.ndarray[Any, Any] | None = None
        self._enter: list[list[tuple[Value, np.ndarray[Any, Any]]]] = []
        self._leave: list[list[tuple[Value, np.ndarray[Any, Any]]]] = []
        self._replaced: set[Value | None] = set()
        self._shapes: Shapes = ()
        self.position, self.taken = -1, 0
        self.bound: Any = None

    @property
    def plan(self) -> MemoryPlan:
        """The plan for the present shapes."""
        now = self._shapes_now()
        if self._shapes != now:
            self.give_up()
            self._plan, self._shapes = None, now
        if self._plan is None:
            self._plan = self._plans.get(self._shapes) or plan_memory(self._steps, self.around)
            if len(self._plans) < MAX_SHAPES:
                self._plans[self._shapes] = self._plan
        return self._plan

    def change(self, around: Around) -> None:
        """Plans anew, with other surroundings."""
        self.give_up()
        self.around, self._plan = around, None
        self._plans.clear()

    def start(self, whole: bool) -> None:
        """Before a forward pass that runs all steps, or not."""
        if not self.packs:
            return
        if not whole:
            self.give_up()
            return
        plan = self.plan
        if self.position not in (2 * plan.steps, -1):
            for value in plan.values:
                if value.storage.places is not None:
                    value.storage.drop(value.representation if value.storage.lasting else None)
        if self.position == -1:
            self._take(plan)
        self.position = 0

    def turn(self, whole: bool) -> None:
        """Before a backward pass that runs all steps, or not."""
        if not whole or self._plan is None or self.position != self._plan.steps:
            self.give_up()
            return
        for uses in self.around.finishing.values():  # what updates have consumed begins at zero
            for use in uses:
                if not use.storage.cleared:
                    use.storage.clear()

    def enter(self) -> None:
        """Before the next step."""
        if self.position < 0:
            return
        for value, array in self._enter[self.position]:
            if self.poison and value.over is None:
                array.view(np.uint8).fill(0xFF)  # NaN in every type
            value.storage.place(value.representation, array)

    def leave(self) -> None:
        """After it."""
        if self.position < 0:
            return
        for value, array in self._leave[self.position]:
            value.storage.drop(None if value.final else value.representation)
            if self.poison and value not in self._replaced:
                array.view(np.uint8).fill(0xFF)
        self.position += 1

    @property
    def placed(self) -> set[Storage]:
        """What has places in the arena."""
        values = self._plan.values if self._plan is not None else ()
        return {value.storage for value in values if value.storage.places is not None}

    def moves(self, position: int, among: Collection[Storage]) -> tuple[list[Move], list[Move]]:
        """What `enter` and `leave` do there with these storages."""
        enters: list[Move] = [
            partial(value.storage.place, value.representation, array)
            for value, array in self._enter[position] if value.storage in among
        ]
        leaves: list[Move] = [
            partial(value.storage.drop, None if value.final else value.representation)
            for value, _ in self._leave[position] if value.storage in among
        ]
        return enters, leaves

    def give_up(self) -> None:
        """From here on storages take their own memory; what is alive stays where it is."""
        if self.position < 0 or self._plan is None:
            return
        for value in self._plan.values:
            value.storage.places = value.storage.resized = None
            value.storage.lasting = True
        self.position, self._block, self._enter, self._leave, self.bound = -1, None, [], [], None

    def _take(self, plan: MemoryPlan) -> None:
        self._block, self.taken = _aligned(plan.nbytes), self.taken + 1
        self._replaced = {value.over for value in plan.values}
        positions = 2 * plan.steps
        self._enter, self._leave = [[] for _ in range(positions)], [[] for _ in range(positions)]
        for value in plan.values:
            if value.storage.places is None and value.storage.is_lent():
                continue  # it stays where the user's array is
            end = value.offset + value.length * value.dtype.itemsize
            array = self._block[value.offset : end].view(value.dtype)
            if value.length:
                self._enter[value.first].append((value, array))
            self._leave[value.last].append((value, array))
            value.storage.places, value.storage.resized = {}, weakref.WeakMethod(self.give_up)
            value.storage.lasting = value.storage in self.around.homes
            if not value.storage.lasting:
                value.storage.drop()
        side_by_side(self.around.homes.items())
        for storage, home in self.around.homes.items():
            storage.trim(home)


def side_by_side(wanted: Iterable[tuple[Storage, Representation]]) -> None:
    """Memory for storages that have none in these layouts, in one block: the system backs it by large pages, and brings
    them ten times as fast as the small ones of single arrays.

    Plain arrays are apart, for users may hold them.
    """
    lacking = [
        (storage, layout, *layout.extent(storage.count, storage.dtype)) for storage, layout in dict.fromkeys(wanted)
        if hasattr(layout, "extent") and not layout.plain and storage.held(layout) is None
    ]
    sizes = [-(-length * dtype.itemsize // ALIGNMENT) * ALIGNMENT for *_, length, dtype in lacking]
    block, start = _aligned(sum(sizes), np.zeros), 0
    for (storage, layout, length, dtype), nbytes in zip(lacking, sizes):
        storage.settle(layout, block[start : start + length * dtype.itemsize].view(dtype))
        start += nbytes


def _aligned(nbytes: int, make: Callable[..., np.ndarray[Any, Any]] = np.empty) -> np.ndarray[Any, Any]:
    block = make(nbytes + ALIGNMENT, np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    return block[start : start + nbytes]
