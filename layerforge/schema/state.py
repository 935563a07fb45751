"""Solver states in binary files: Caffe's SolverState, and our own part in a field that Caffe skips."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from layerforge.core.errors import DataError
from layerforge.schema import wire
from layerforge.schema.weights import Chunks, blob_chunks, parse_blob, read_bytes
from layerforge.schema.wire import WireError, walk

VERSION = 1
_RUN = 10000  # our field of SolverState


@dataclass(slots=True)
class SolverState:
    """What is saved beside the weights.

    iter, current_step  iterations done; steps of lr_policy multistep taken
    learned_net     the name of the weights file, as it was given
    history         the solver's arrays: one or two per parameter
    minimum_loss, iter_last_event   of lr_policy plateau
    extra           named bytes of ours; None in a state that Caffe wrote
    """

    iter: int = 0
    learned_net: str = ""
    history: list[np.ndarray] = field(default_factory=list)
    current_step: int = 0
    minimum_loss: float | None = None
    iter_last_event: int | None = None
    extra: dict[str, bytes] | None = None


def read_solverstate(path: str | os.PathLike[str]) -> SolverState:
    """The state in a binary .solverstate.

    Raises DataError when the file is missing, cut off, or of another kind.
    """
    return parse_solverstate(read_bytes(path), os.fspath(path))


def parse_solverstate(data: bytes, file: str) -> SolverState:
    """The state in the bytes; `file` names them in messages.

    Raises DataError when the bytes are cut off, of another kind, or of a later version.
    """
    view, found, seen = memoryview(data), SolverState(), False
    try:
        for item in walk(view):
            if item.number == 1 and item.kind == wire.VARINT:
                found.iter, seen = wire.signed(item.value), True
            elif item.number == 2 and item.kind == wire.BYTES:
                found.learned_net = bytes(view[item.start : item.end]).decode("utf-8", "replace")
            elif item.number == 3 and item.kind == wire.BYTES:
                owner = f"{file}: history {len(found.history)}"
                found.history.append(parse_blob(view, item.start, item.end, owner).data)
            elif item.number == 4 and item.kind == wire.VARINT:
                found.current_step = wire.signed(item.value)
            elif item.number == 5 and item.kind == wire.FOUR:
                found.minimum_loss = float(np.frombuffer(data, "<f4", 1, item.start)[0])
            elif item.number == 6 and item.kind == wire.VARINT:
                found.iter_last_event = wire.signed(item.value)
            elif item.number == _RUN and item.kind == wire.BYTES:
                found.extra = dict(_entries(view, item.start, item.end, file))
    except WireError as error:
        raise DataError(f"{file} is no whole .solverstate of {len(data)} bytes: {error}",
                        hint="go on from an earlier snapshot, or load the file again") from None
    if not seen or found.iter < 0:
        raise DataError(f"{file} holds no iteration: a .solverstate is expected", hint="weights alone go to --weights")
    return found


def _entries(data: memoryview, start: int, end: int, file: str) -> Iterator[tuple[str, bytes]]:
    for item in walk(data, start, end):
        if item.number == 1 and item.kind == wire.VARINT and item.value > VERSION:
            raise DataError(f"{file} was written by a later LayerForge: version {item.value}, known is {VERSION}",
                            hint="update LayerForge")
        if item.number == 2 and item.kind == wire.BYTES:
            inner = {each.number: bytes(data[each.start : each.end]) for each in walk(data, item.start, item.end)}
            yield inner.get(1, b"").decode("utf-8", "replace"), inner.get(2, b"")


def solverstate_chunks(state: SolverState) -> Chunks:
    """The bytes of a .solverstate as real Caffe reads it, piece by piece."""
    yield wire.put_int(1, state.iter)
    yield wire.put_bytes(2, state.learned_net)
    for values in state.history:
        yield wire.put_head(3, sum(len(chunk) for chunk in blob_chunks(values)))
        yield from blob_chunks(values)
    yield wire.put_int(4, state.current_step)
    if state.minimum_loss is not None:
        yield wire.put_varint(5 << 3 | wire.FOUR) + np.array(state.minimum_loss, "<f4").tobytes()
    if state.iter_last_event is not None:
        yield wire.put_int(6, state.iter_last_event)
    if state.extra is not None:
        yield wire.put_bytes(_RUN, _run_state(state.extra))


def _run_state(extra: Mapping[str, bytes]) -> bytes:
    entries = (wire.put_bytes(2, wire.put_bytes(1, name) + wire.put_bytes(2, value)) for name, value in extra.items())
    return wire.put_int(1, VERSION) + b"".join(entries)
