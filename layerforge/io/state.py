"""Solver states in both of Caffe's formats, with our own part where real Caffe does not look."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from layerforge.core.errors import DataError
from layerforge.data.hdf5_writer import writing
from layerforge.io.hdf5 import array, is_hdf5, is_hdf5_name, members, reading
from layerforge.io.weights import write_chunks
from layerforge.schema.state import VERSION, SolverState, read_solverstate, solverstate_chunks


def read_state(path: str | os.PathLike[str]) -> SolverState:
    """The state in a file of either format; its first bytes tell which.

    Raises DataError when the file is missing, cut off, of another kind or of a later version.
    """
    return _read_hdf5(os.fspath(path)) if is_hdf5(path) else read_solverstate(path)


def write_state(path: str | os.PathLike[str], state: SolverState) -> None:
    """Writes a state: HDF5 when the name ends in .h5, else binary.

    Raises DataError when the file cannot be written; an older file of the name is still there then.
    """
    if is_hdf5_name(path):
        _write_hdf5(path, state)
    else:
        write_chunks(path, solverstate_chunks(state))


def _read_hdf5(path: str) -> SolverState:
    with reading(path, ".solverstate.h5") as file:
        top = members(file)
        if "iter" not in top or "history" not in top:
            raise DataError(f"{path} holds no iteration and history: a .solverstate.h5 is expected",
                            hint="weights alone go to --weights")
        numbers = {name: array(top[name], f"{path}: {name}").reshape(-1)[0]
                   for name in ("iter", "current_step", "minimum_loss", "iter_last_event") if name in top}
        history = members(top["history"])
        found = SolverState(int(numbers["iter"]), _text(top.get("learned_net")))
        found.current_step = int(numbers.get("current_step", 0))
        found.history = [array(history[str(i)], f"{path}: history {i}") for i in range(len(history))]
        if "minimum_loss" in numbers:
            found.minimum_loss = float(numbers["minimum_loss"])
        if "iter_last_event" in numbers:
            found.iter_last_event = int(numbers["iter_last_event"])
        if "layerforge" in top:
            found.extra = _read_extra(top["layerforge"], path)
        return found


def _text(dataset: Any) -> str:
    if dataset is None or dataset.dtype.kind != "S" or dataset.shape not in ((), (1,)) or dataset.nbytes > 2**16:
        return ""
    value = np.asarray(dataset[()]).reshape(-1)[0]
    return bytes(value).split(b"\0")[0].decode("utf-8", "replace")


def _read_extra(group: Any, path: str) -> dict[str, bytes]:
    """Our part: plain arrays alone, since HDF5 crashes over texts of free length in a damaged file."""
    entries = members(group)
    version = int(array(entries["version"], f"{path}: layerforge/version").reshape(-1)[0])
    if version > VERSION:
        raise DataError(f"{path} was written by a later LayerForge: version {version}, known is {VERSION}",
                        hint="update LayerForge")
    names = array(entries["names"], f"{path}: layerforge/names").tobytes().decode("utf-8", "replace").split("\0")
    return {name: array(entries[str(i)], f"{path}: layerforge/{i}").tobytes() for i, name in enumerate(names) if name}


def _write_hdf5(path: str | os.PathLike[str], state: SolverState) -> None:
    with writing(path) as file:
        file.create_dataset("iter", data=np.array([state.iter], "<i4"))
        if state.learned_net:
            _write_text(file, "learned_net", state.learned_net)
        file.create_dataset("current_step", data=np.array([state.current_step], "<i4"))
        if state.minimum_loss is not None:
            file.create_dataset("minimum_loss", data=np.array([state.minimum_loss], "<f4"))
        if state.iter_last_event is not None:
            file.create_dataset("iter_last_event", data=np.array([state.iter_last_event], "<i4"))
        history = file.create_group("history")
        for i, values in enumerate(state.history):
            history.create_dataset(str(i), data=values)
        if state.extra is not None:
            group = file.create_group("layerforge")
            group.create_dataset("version", data=np.array([VERSION], "<i4"))
            group.create_dataset("names", data=np.frombuffer("\0".join(state.extra).encode(), np.uint8))
            for i, value in enumerate(state.extra.values()):
                group.create_dataset(str(i), data=np.frombuffer(value, np.uint8))


def _write_text(file: Any, name: str, text: str) -> None:
    """A string as Caffe writes it: of fixed length, ended by a zero."""
    import h5py

    data = text.encode() + b"\0"
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(data))
    kind.set_strpad(h5py.h5t.STR_NULLTERM)
    scalar = h5py.h5s.create(h5py.h5s.SCALAR)
    h5py.h5d.create(file.id, name.encode(), kind, scalar).write(scalar, scalar, np.array(data, f"S{len(data)}"), kind)
