"""What is in files other than nets: tables and lines, for `inspect`."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from layerforge.cli.report import Table, listing

Part: TypeAlias = "str | Table"
BLOB_COLUMNS = ("layer", "type", "blob", "shape", "values", "least", "mean", "greatest")


def size(count: int) -> str:
    """Bytes in words."""
    value, unit = float(count), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"


def extent(values: np.ndarray) -> tuple[str, str, str]:
    """Least, mean and greatest value; how many are no numbers, if there are such."""
    if not values.size:
        return "-", "-", "-"
    with np.errstate(all="ignore"):
        low, middle, high = float(values.min()), float(values.mean(dtype=np.float64)), float(values.max())
    if not np.isfinite(low + high):
        return "-", f"{np.count_nonzero(~np.isfinite(values)):,} not finite", "-"
    return f"{low:.4g}", f"{middle:.4g}", f"{high:.4g}"


def by(shape: Any) -> str:
    """A shape in words."""
    return "×".join(map(str, shape)) or "one number"


def weights_parts(path: str, records: int) -> Iterator[Part]:
    """A row per blob."""
    from layerforge.io.weights import read_weights

    layers, body, count = read_weights(path), [], 0
    for layer in layers:
        for i, blob in enumerate(layer.blobs):
            if blob is None:
                body.append((layer.name, layer.type, str(i), "shared", "-", "-", "-", "-"))
                continue
            body.append((layer.name, layer.type, str(i), by(blob.shape), f"{blob.size:,}", *extent(blob)))
            count += blob.size
    kinds = sorted({blob.dtype.name for layer in layers for blob in layer.blobs if blob is not None})
    yield Table("", BLOB_COLUMNS, body, [("all layers", "", "", "", f"{count:,}", "", "", "")])
    yield listing([("layers", f"{len(layers)}, {sum(bool(layer.blobs) for layer in layers)} with blobs"),
                   ("numbers", ", ".join(kinds) or "-"), ("file", size(os.path.getsize(path)))])


def state_parts(path: str, records: int) -> Iterator[Part]:
    """Where the run stood, and a row per array of its history."""
    from layerforge.io.state import read_state

    state = read_state(path)
    rows = [("iteration", f"{state.iter:,}"), ("weights", state.learned_net or "-"),
            ("steps of the rate taken", str(state.current_step))]
    if state.extra is None:
        rows.append(("exact resume", "no: the file has Caffe's part alone"))
    else:
        rows.append(("exact resume", f"yes: {', '.join(state.extra)}"))
    yield listing(rows)
    yield Table("history", ("array", "shape", "least", "mean", "greatest"),
                [(str(i), by(values.shape), *extent(values)) for i, values in enumerate(state.history)])


def array_parts(path: str, records: int) -> Iterator[Part]:
    """Shape and range, and the mean of each channel of a picture."""
    from layerforge.schema.blob_file import read_blob

    yield from _array(read_blob(path))


def npy_parts(path: str, records: int) -> Iterator[Part]:
    """As for an array."""
    from layerforge.cli.picture_options import load_array

    yield from _array(load_array(path))


def _array(values: np.ndarray) -> Iterator[Part]:
    low, middle, high = extent(values)
    yield listing([("shape", by(values.shape)), ("numbers", values.dtype.name), ("least", low), ("mean", middle),
                   ("greatest", high)])
    picture = values[0] if values.ndim == 4 and len(values) == 1 else values
    if picture.ndim == 3 and len(picture) <= 16:
        yield Table("channels", ("channel", "least", "mean", "greatest"),
                    [(str(i), *extent(channel)) for i, channel in enumerate(picture)])


def hdf5_parts(path: str, records: int) -> Iterator[Part]:
    """A row per dataset."""
    from layerforge.io.hdf5 import members, reading

    def walk(group: Any, name: str, depth: int) -> Iterator[tuple[str, str, str, str]]:
        for key, member in members(group).items():
            full = f"{name}/{key}" if name else key
            if hasattr(member, "dtype"):
                yield full, by(member.shape or ()), str(member.dtype), size(member.nbytes)
            elif depth < 32:  # a hard link may lead back up
                yield from walk(member, full, depth + 1)

    with reading(path, "HDF5 file") as file:
        yield Table("", ("dataset", "shape", "type", "size"), list(itertools.islice(walk(file, "", 0), 10000)))


def solver_parts(path: str, records: int) -> Iterator[Part]:
    """The fields that are set."""
    from layerforge.netdef.types import NetDef
    from layerforge.schema.read import read_solver

    def words(value: Any) -> str:
        if isinstance(value, tuple):
            return ", ".join(words(each.value) for each in value)
        if isinstance(value, NetDef):
            return f"a net of {len(value.layers)} layers"
        if hasattr(value, "items"):
            return " ".join(f"{name}: {words(field.value)}" for name, field in value.items())
        return str(value)

    yield listing((name, words(field.value)) for name, field in read_solver(path).fields.items())


def database_parts(path: str, records: int, backend: str) -> Iterator[Part]:
    """How many records, their shapes and labels."""
    from layerforge.data.datum import parse_datum
    from layerforge.data.reader import open_database

    with contextlib.closing(open_database(path, backend)) as reader:
        seen, some = 0, list(itertools.islice(reader.records(None), records))
        shapes: Counter[str] = Counter()
        labels: Counter[int] = Counter()
        for key, value in some:
            datum = parse_datum(value, reader.name(key))
            kind = "compressed" if datum.encoded else f"{by(datum.shape)} {'bytes' if len(datum.data) else 'floats'}"
            shapes[kind] += 1
            labels[datum.label] += 1
            seen += len(value)
        count, ends = reader.count(), dict.fromkeys((some[0][0], some[-1][0]))
        yield listing([
            ("records", f"{count:,}" if count is not None else f"at least {len(some):,}"),
            ("read", f"{len(some):,} of {seen / len(some):,.0f} bytes on average"),
            ("keys", " … ".join(key.decode("utf-8", "backslashreplace") for key in ends)),
            ("content", ", ".join(f"{kind} ({n:,})" for kind, n in shapes.most_common(8))),
            ("labels", f"{len(labels)}, from {min(labels)} to {max(labels)}"),
            ("on disk", size(_disk(path)))])
        if len(labels) <= 50:
            yield Table("", ("label", "records"), [(str(label), f"{labels[label]:,}") for label in sorted(labels)])


def _disk(path: str) -> int:
    files = [os.path.join(path, name) for name in os.listdir(path)] if os.path.isdir(path) else [path]
    return sum(os.path.getsize(file) for file in files)


def onnx_parts(path: str, records: int) -> Iterator[Part]:
    """Inputs, outputs, and how often each operator occurs."""
    from layerforge.io.onnx.read import read_onnx

    model = read_onnx(path)
    yield listing([("opset", model.opset), ("made by", model.producer or "-"),
                   *(("input", f"{name} {by(shape)}") for name, shape in model.inputs),
                   *(("output", f"{name} {by(shape)}") for name, shape in model.outputs),
                   ("weights", f"{model.numbers:,} numbers in {model.arrays:,} arrays"),
                   ("file", size(os.path.getsize(path)))])
    yield Table("", ("operator", "nodes"), [(op, str(count)) for op, count in model.operators.most_common()])


def lmdb_parts(path: str, records: int) -> Iterator[Part]:
    """A database of Caffe's."""
    return database_parts(path, records, "LMDB")


def leveldb_parts(path: str, records: int) -> Iterator[Part]:
    """An older one."""
    return database_parts(path, records, "LEVELDB")


PARTS: dict[str, Callable[[str, int], Iterator[Part]]] = {
    "solver": solver_parts, "weights": weights_parts, "state": state_parts, "array": array_parts, "npy": npy_parts,
    "hdf5": hdf5_parts, "onnx": onnx_parts, "lmdb": lmdb_parts, "leveldb": leveldb_parts,
}
"""Kind → what is printed."""
