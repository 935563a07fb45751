"""Storage: the memory of one value, in one or several representations that agree.

A representation is a kind of memory and layout: the host's plain array, a device's, an engine's blocked format.
Each copy carries the version it holds; the newest version is the value, and reading another copy converts it first.
Conversion happens here and nowhere else. Nothing is allocated before the first read or claim.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from layerforge.core.errors import NetError

LARGE = 1 << 25  # bytes of a first value that is taken over in pieces
PIECE = 1 << 22  # numbers of a piece, about
Pieces = Callable[[int], Iterator[np.ndarray] | None]
Array = Any  # the array type of a representation: numpy.ndarray, cupy.ndarray, ...


class Representation(Protocol):
    """A kind of memory. Compared by identity: make one per backend, or one per layout.

    plain   the values stand in C order without gaps, so an array that is too long may be cut; an engine's layout
            belongs to one shape, and may have padding
    convert optional: `convert(other, source, target) -> bool` takes over another representation's array, without the
            host between; `takes(other) -> bool` says beforehand whether it would
    memory  optional: the plain representation of the same device, converted from rather than from the host's
    extent  optional: `extent(count, dtype) -> (length, dtype)` of an array of `count` values, where any piece of the
            host's memory will do; a representation without it gets no memory from a plan
    pieces  optional: `from_pieces(pieces, target) -> bool` takes over a large first value bit by bit; `pieces(size)`
            gives so many numbers at a time, or None. False: nothing was taken over
    lossy   optional: True where values are rounded to a narrower type; such a copy gives the value to others only
            where no other holds it
    """

    name: str
    plain: bool

    def zeros(self, count: int, dtype: np.dtype[Any]) -> Array:
        """A flat array of zeros."""

    def to_host(self, source: Array, target: np.ndarray) -> None:
        """Writes the plain order of `source` into the host array `target`."""

    def from_host(self, source: np.ndarray, target: Array) -> None:
        """Takes over a host array."""


class HostRepresentation:
    """Plain C order in the host's memory."""

    name = "host"
    plain = True

    def zeros(self, count: int, dtype: np.dtype[Any]) -> np.ndarray:
        return np.zeros(count, dtype)

    def extent(self, count: int, dtype: np.dtype[Any]) -> tuple[int, np.dtype[Any]]:
        return count, dtype

    def to_host(self, source: np.ndarray, target: np.ndarray) -> None:
        np.copyto(target, source)

    def from_host(self, source: np.ndarray, target: np.ndarray) -> None:
        np.copyto(target, source)

    def from_pieces(self, pieces: Pieces, target: np.ndarray) -> bool:
        found, start = pieces(PIECE), 0
        for piece in found or ():
            target[start : start + piece.size] = piece
            start += piece.size
        return found is not None


def is_lossy(representation: Representation) -> bool:
    """Whether it rounds values to a narrower type."""
    return getattr(representation, "lossy", False)


def _not_kept() -> NetError:
    return NetError("this value is not kept: its memory serves others in turn",
                    hint='build the net with keep="all", and every blob can be read')


HOST: Representation = HostRepresentation()
_UNLENT = 2  # references to an array that nobody holds: the storage's, and getrefcount's own


class Traffic:
    """How often values went from one representation to another since the program started, and how many bytes."""

    copies = 0
    nbytes = 0


class Storage:
    """`count` numbers of one dtype.

    initial  makes the first value (a flat host array; one number fills all) when it is first read; None: zeros. One
             with `repeats = True` gives the same whenever it is asked
    version  rises with every write; what is derived from the value may be cached under it
    home     the representation it is kept in between passes: parameters, their gradients and history; the plan's choice
    cleared  it was set to zero, and nothing was written since: a writer that would add may overwrite
    lent     the host's array was handed out to be read and written at any time
    places   memory from a plan, by representation; None: the storage takes its own. A plan gives a value up when its
             last reader has run, and reading it then is an error
    handed_out  of the class: whether any array was ever lent in this process
    lasting  it outlives the plan, which places only conversions of it
    resized  a weak reference to what is called when the number of values of a planned storage changes
    """

    handed_out: ClassVar[bool] = False
    __slots__ = ("count", "dtype", "version", "initial", "home", "cleared", "lent", "places", "lasting", "resized",
                 "_gone", "_copies")

    def __init__(
        self, count: int = 0, dtype: Any = np.float32, initial: Callable[[], np.ndarray] | None = None
    ) -> None:
        self.count, self.dtype, self.initial = count, np.dtype(dtype), initial
        self.version = 0
        self.home: Representation = HOST
        self.cleared = self.lent = self._gone = False
        self.places: dict[Representation, Array] | None = None
        self.lasting = True
        self.resized: weakref.WeakMethod[Callable[[], None]] | None = None
        self._copies: dict[Representation, tuple[Array, int]] = {}

    @property
    def allocated(self) -> bool:
        """Whether any memory is held."""
        return bool(self._copies)

    @property
    def nbytes(self) -> int:
        """Size of one copy in plain layout, in bytes."""
        return self.count * self.dtype.itemsize

    def resize(self, count: int) -> None:
        """Changes the number of values. Memory that is large enough is kept with its contents, as Caffe does; a layout
        belongs to one shape and is given up."""
        if count == self.count:
            return
        resized = self.resized() if self.resized is not None else None
        if resized is not None:
            resized()
        newest = next((r for r, (_, version) in self._copies.items() if version == self.version), HOST)
        if not newest.plain and not self.cleared and not self._gone:
            self.array(HOST)
        self.count = count
        self._copies = {r: held for r, held in self._copies.items() if r.plain}
        if any(representation.plain and copy.size < count for representation, (copy, _) in self._copies.items()):
            self._copies.clear()

    def array(self, representation: Representation = HOST) -> Array:
        """The value in this representation, flat; converted first if another copy is newer."""
        held = self._copies.get(representation)
        if held is None or held[1] != self.version or self.cleared:
            held = self._refresh(representation)
        return self._cut(representation, held[0])

    def glance(self) -> np.ndarray:
        """The value in plain order for one look: what has to be made for it is not kept, where it can be made again."""
        held = self._copies.get(HOST)
        if self.cleared or self._gone or (held is not None and held[1] == self.version):
            return self.array(HOST)
        if self.initial is not None and getattr(self.initial, "repeats", False):
            return np.ascontiguousarray(self.initial(), self.dtype).reshape(-1)
        return self.array(HOST)

    def claim(self, representation: Representation) -> Array:
        """The array to be overwritten whole: it becomes the newest version without a conversion."""
        held = self._copies.get(representation)
        array = self._take(representation) if held is None else held[0]
        self._newest(representation, array)
        return self._cut(representation, array)

    def wrote(self, representation: Representation) -> None:
        """Says that the array of this representation, got by `array`, was changed: other copies are old now."""
        held = self._copies.get(representation)
        if held is None or held[1] != self.version or self.cleared:
            self.array(representation)  # nothing was written after all, or it would be fresh
            held = self._copies[representation]
        self._newest(representation, held[0])

    def lend(self) -> np.ndarray:
        """The host's array for a user, who may keep it and write into it: now it is the newest version."""
        if not self.lasting:
            raise _not_kept()
        array: np.ndarray = self.array(HOST)
        self.wrote(HOST)
        self.lent = Storage.handed_out = True
        return array

    def is_lent(self) -> bool:
        """Whether a user still holds a handed-out array, or any view of it."""
        if self.lent:
            held = self._copies.get(HOST)
            self.lent = held is not None and sys.getrefcount(held[0]) > _UNLENT
        return self.lent

    def give(self, other: Storage, representation: Representation) -> None:
        """Gives the value to the other storage; what this one holds then is to be overwritten. Nothing is copied, but
        for plain arrays, which users may hold."""
        mine, theirs = self.array(representation), other.claim(representation)
        if representation.plain or self.places is not None or other.places is not None:
            theirs[...] = mine
            return
        self._newest(representation, theirs)
        other._newest(representation, mine)

    def held(self, representation: Representation) -> Array | None:
        """The memory of this representation, whatever value is in it; None if there is none."""
        held = self._copies.get(representation)
        return None if held is None else held[0]

    def kept(self) -> tuple[Representation, ...]:
        """The representations that have memory, whatever value is in it."""
        return tuple(self._copies)

    def fresh(self) -> tuple[Representation, ...]:
        """The representations whose copies hold the value."""
        return () if self.cleared else tuple(r for r, (_, version) in self._copies.items() if version == self.version)

    def renew(self, representations: Sequence[Representation]) -> None:
        """Says that these copies were all written with one value, by work that was not seen: a recorded iteration."""
        for representation in representations:
            self._newest(representation, self._copies[representation][0])
        for representation in representations[:-1]:
            self._copies[representation] = (self._copies[representation][0], self.version)

    def adopt(self, representation: Representation) -> None:
        """Says that this copy will hold the value when it is read: work that brings it is under way."""
        self._copies[representation] = (self._copies[representation][0], self.version)

    def clear(self) -> None:
        """Sets the value to zero. Memory is touched only if it is read before it is overwritten."""
        self.initial, self.cleared = None, True
        self.version += 1

    def begin_with(self, initial: Callable[[], np.ndarray]) -> None:
        """The value is what this gives, from when it is first read on."""
        self.initial, self.cleared, self._gone = initial, False, False
        self.version += 1

    def set(self, values: np.ndarray) -> None:
        """Takes over host values (any shape of the right count)."""
        np.copyto(self.claim(HOST), values.reshape(-1), casting="same_kind")

    def settle(self, representation: Representation, array: Array) -> None:
        """Zeros that are to be its memory in this representation from now on; it has none."""
        self._copies[representation] = (array, self.version - 1)

    def place(self, representation: Representation, array: Array) -> None:
        """The memory that a plan has for the next value, or for a conversion of it, in this representation."""
        assert self.places is not None
        self.places[representation] = array
        self._copies.pop(representation, None)

    def drop(self, representation: Representation | None = None) -> None:
        """Gives up the copy in this representation; None: the value itself, which cannot be read from then on."""
        if representation is not None:
            self._copies.pop(representation, None)
            return
        self._copies.clear()
        self._gone = True

    def trim(self, representation: Representation) -> None:
        """Keeps the value in this representation alone, and the host's array while a user holds it."""
        self.array(representation)
        lent = self.is_lent()
        self._copies = {r: held for r, held in self._copies.items() if r is representation or (lent and r is HOST)}

    def release(self) -> None:
        """Gives all memory back; the value becomes zeros."""
        self._copies.clear()
        self.initial, self.cleared, self._gone = None, False, False
        self.version += 1

    def _newest(self, representation: Representation, array: Array) -> None:
        self.initial, self.cleared, self._gone = None, False, False
        self.version += 1
        self._copies[representation] = (array, self.version)

    def _take(self, representation: Representation) -> Array:
        """Memory for a copy: the plan's place if it has one."""
        place = self.places.get(representation) if self.places is not None else None
        return representation.zeros(self.count, self.dtype) if place is None else place

    def _cut(self, representation: Representation, array: Array) -> Array:
        return array[: self.count] if representation.plain and array.size != self.count else array

    def _refresh(self, representation: Representation) -> tuple[Array, int]:
        held = self._copies.get(representation)
        if self._gone and not self.cleared:
            raise _not_kept()
        target = self._take(representation) if held is None else held[0]
        if self.cleared:
            target[...] = 0
            self._newest(representation, target)
            return self._copies[representation]
        if self.initial is not None and is_lossy(representation):
            self.array(self.home)
        fresh = [r for r, (_, version) in self._copies.items() if version == self.version]
        if fresh:
            near = getattr(representation, "memory", None)
            source = near if near in fresh else min(fresh, key=is_lossy)
            self._convert(source, self._copies[source][0], representation, target)
        elif self.initial is not None:
            make, self.initial = self.initial, None
            if not self._by_pieces(make, representation, target):
                first = np.ascontiguousarray(make(), self.dtype).reshape(-1)
                if first.size == 1:
                    first = np.full(self.count, first[0])
                representation.from_host(first, self._cut(representation, target))
        self._copies[representation] = (target, self.version)
        return self._copies[representation]

    def _by_pieces(self, make: Any, representation: Any, target: Array) -> bool:
        if self.nbytes <= LARGE or not hasattr(make, "pieces") or not hasattr(representation, "from_pieces"):
            return False
        return bool(representation.from_pieces(make.pieces, self._cut(representation, target)))

    def _convert(self, have: Representation, source: Array, want: Representation, target: Array) -> None:
        Traffic.copies, Traffic.nbytes = Traffic.copies + 1, Traffic.nbytes + self.nbytes
        source, target = self._cut(have, source), self._cut(want, target)
        direct = getattr(want, "convert", None)
        if have is HOST:
            want.from_host(source, target)
        elif want is HOST:
            have.to_host(source, target)
        elif direct is None or not direct(have, source, target):
            want.from_host(self.array(HOST), target)  # the host's copy is then fresh too
