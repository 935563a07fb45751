"""What kind of file or database a path is, from its content; its name counts for nothing."""

from __future__ import annotations

import os

from layerforge.core.errors import DataError, PrototxtError
from layerforge.io.hdf5 import is_hdf5, members, reading
from layerforge.io.safetensors_weights import is_safetensors
from layerforge.schema import wire
from layerforge.schema.parse import read_text
from layerforge.schema.read import read_tree
from layerforge.schema.weights import read_bytes
from layerforge.schema.wire import WireError, walk

KINDS = {
    "net": "a net", "solver": "a solver", "weights": "weights", "state": "a solver's state", "array": "an array",
    "lmdb": "an LMDB database", "leveldb": "a LevelDB database", "hdf5": "an HDF5 file", "npy": "a NumPy array",
    "onnx": "an ONNX model",
}
"""What `kind_of` tells apart, in words."""

_SOLVER_FIELDS = ("net", "train_net", "net_param", "train_net_param", "base_lr", "lr_policy", "max_iter", "solver_mode")


def kind_of(path: str) -> str:
    """One of KINDS.

    Raises DataError when the path is missing or of none, PrototxtError for a text that is neither net nor solver.
    """
    if os.path.isdir(path):
        for name, kind in (("data.mdb", "lmdb"), ("CURRENT", "leveldb")):
            if os.path.exists(os.path.join(path, name)):
                return kind
        raise DataError(f"the folder {path!r} is no database: it has neither data.mdb nor CURRENT")
    if is_hdf5(path):
        return _hdf5_kind(path)
    with open(path, "rb") as file:
        head = file.read(4096)
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head[16:20] in (b"\xde\xc0\xef\xbe", b"\xbe\xef\xc0\xde"):  # LMDB's magic number, behind its page header
        return "lmdb"
    if not head.translate(None, bytes(range(32, 256)) + b"\t\r\n\f\v"):
        return _text_kind(path)
    return "weights" if is_safetensors(path) else _binary_kind(path)


def _hdf5_kind(path: str) -> str:
    with reading(path, "HDF5 file") as file:
        top = members(file)
        if "iter" in top and "history" in top:
            return "state"
        if set(top) <= {"data", "diff"} and "data" in top and not hasattr(top["data"], "dtype"):
            return "weights"
    return "hdf5"


def _text_kind(path: str) -> str:
    try:
        read_tree(path, "NetParameter")
    except PrototxtError:
        if not any(line.split(":")[0].split("{")[0].strip() in _SOLVER_FIELDS for line in read_text(path).splitlines()):
            raise
        read_tree(path, "SolverParameter")
        return "solver"
    return "net"


def _binary_kind(path: str) -> str:
    """The fields on top tell: layers; an iteration and names as text; four numbers or a shape; a graph and opsets."""
    view = memoryview(read_bytes(path))
    seen: set[tuple[int, int]] = set()
    try:
        for item in walk(view):
            seen.add((item.number, item.kind))
            if item.number in (2, 100) and item.kind == wire.BYTES and (1, wire.VARINT) not in seen:
                return "weights"
    except WireError as error:
        raise DataError(f"{path} is of no known kind, or cut off: {error}",
                        hint=f"known are {', '.join(KINDS.values())}") from None
    if {(1, wire.VARINT), (7, wire.BYTES), (8, wire.BYTES)} <= seen:
        return "onnx"
    if (1, wire.VARINT) in seen and seen & {(2, wire.BYTES), (3, wire.BYTES)}:
        return "state"
    if seen & {(5, wire.BYTES), (5, wire.FOUR), (8, wire.BYTES), (8, wire.EIGHT)}:
        return "array"
    if (1, wire.VARINT) in seen:
        return "state"
    raise DataError(f"{path} is of no known kind", hint=f"known are {', '.join(KINDS.values())}")
