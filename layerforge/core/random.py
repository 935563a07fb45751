"""Counter-based random numbers: draw n of a named stream is the same for whoever asks, in any order.

The generator is Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) with
key = hash(seed, stream name) and counter = (0, 0, 0, n), so n draws never overlap, and a resumed run, another number of
threads or another backend sees the same numbers.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

import numpy as np


class Blocks:
    """What a generator of this kind draws next of U(0, 1) in float32, in blocks that may be drawn apart.

    A value of the counter gives SIZE numbers. The generator itself is to draw the last blocks: it is then where it
    would be had it drawn all of them.
    """

    SIZE = 8

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._state = rng, rng.bit_generator.state

    @property
    def whole(self) -> bool:
        """Whether it stands at the start of a block."""
        state = self._state
        return state["bit_generator"] == "Philox" and state["buffer_pos"] == 4 and not state["has_uint32"]

    def at(self, block: int, last: bool) -> np.random.Generator:
        """The generator for the blocks from this one on."""
        key, before = self._state["state"]["key"], self._state["state"]["counter"]
        counter = int.from_bytes(before.astype("<u8").tobytes(), "little") + block
        moved = np.random.Philox(key=key, counter=counter)
        if not last:
            return np.random.Generator(moved)
        self._rng.bit_generator.state = moved.state
        return self._rng


class Stream:
    """A named sequence of draws; `draws` counts those taken and is all there is to save."""

    __slots__ = ("key", "draws")

    def __init__(self, key: tuple[int, int]) -> None:
        self.key, self.draws = key, 0

    def at(self, draw: int) -> np.random.Generator:
        """The generator of draw number `draw`; it does not advance the stream."""
        return np.random.Generator(np.random.Philox(key=np.array(self.key, np.uint64), counter=draw << 192))

    def next(self) -> np.random.Generator:
        """The generator of the next draw."""
        self.draws += 1
        return self.at(self.draws - 1)

    def take(self) -> int:
        """Counts one draw and returns its number, for kernels that make the bits themselves."""
        self.draws += 1
        return self.draws - 1


class Random:
    """All streams of a run. `child("train").child("drop1").stream("mask")` names one.

    seed  None draws one from the system; `seed` then says which, so that the run can be repeated
    """

    def __init__(self, seed: int | None = None, path: str = "", _root: Random | None = None) -> None:
        self.seed: int = int.from_bytes(os.urandom(4), "little") if seed is None else int(seed)
        self.path = path
        self._root = _root or self
        if _root is None:
            self._streams: dict[str, Stream] = {}

    def child(self, name: str) -> Random:
        """The same seed under a longer name."""
        return Random(self.seed, f"{self.path}{name}/", self._root)

    def stream(self, name: str) -> Stream:
        """The stream of this name; asking twice gives the same one."""
        full, streams = self.path + name, self._root._streams
        if full not in streams:
            digest = hashlib.blake2b(f"{self._root.seed}:{full}".encode(), digest_size=16).digest()
            streams[full] = Stream((int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")))
        return streams[full]

    def state(self) -> dict[str, int]:
        """Draws taken per stream."""
        return {name: stream.draws for name, stream in sorted(self._root._streams.items()) if stream.draws}

    def load_state(self, seed: int, draws: Mapping[str, int]) -> None:
        """Goes back to a saved state: all streams that exist or will exist continue from there."""
        root = self._root
        saved = Random(seed)
        for name in set(root._streams) | set(draws):
            stream = root.stream_of(name)
            stream.key, stream.draws = saved.stream(name).key, int(draws.get(name, 0))
        root.seed = self.seed = int(seed)

    def stream_of(self, full_name: str) -> Stream:
        """The stream with this full name, whatever the path of this object."""
        return Random(self._root.seed, "", self._root).stream(full_name)
