"""Damaged and made-up files through every reader: what comes back is a value or one of our errors, in bounded memory.

A few examples each in the suite; `make fuzz` gives every reader FUZZ_SECONDS.
"""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from layerforge.cli.main import main
from layerforge.core.errors import DataError, LayerForgeError
from layerforge.core.random import Random
from layerforge.data.datasets import CIFAR10_TRAIN, read_idx, write_cifar10
from layerforge.data.datum import parse_datum
from layerforge.data.hdf5 import Hdf5Source
from layerforge.data.image_list import read_image_list
from layerforge.data.images import decode
from layerforge.data.reader import open_database
from layerforge.data.windows import read_window_list
from layerforge.io.onnx.export import onnx_model
from layerforge.io.weights import read_weights, write_weights
from layerforge.net.build import build_net
from layerforge.schema.read import read_net

FILES = Path(__file__).parents[1] / "golden" / "files"
SECONDS = float(os.environ.get("FUZZ_SECONDS", 0))
EXAMPLES = 200 if SECONDS else 6  # a round
MAX_BYTES = 6 << 30  # of address space, with all libraries loaded

EDGES = st.sampled_from([b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01",
                         b"\x00" * 8, b"\xff" * 8, b"\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x08",
                         b"-1", b"9" * 20, b"nan"])
KINDS = st.sampled_from(["put", "insert", "delete", "cut", "repeat"])
CHANGES = st.lists(st.tuples(KINDS, st.floats(0, 1, exclude_max=True), EDGES | st.binary(min_size=1, max_size=8)),
                   min_size=1, max_size=6)


def damaged(data: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    """The bytes after every change; places are shares of the length."""
    for kind, place, piece in changes:
        at = int(place * len(data))
        rest = {"put": data[at + len(piece) :], "insert": data[at:], "delete": data[at + len(piece) :], "cut": b"",
                "repeat": data[max(0, at - 64) :]}[kind]
        data = data[:at] + (piece if kind in ("put", "insert") else b"") + rest
    return data


def windows() -> bytes:
    return b"# 0\nimg.png\n3\n40\n50\n2\n1 0.9 0 0 10 10\n2 0.1 5 5 20 20\n# 1\nb.png\n3\n40\n50\n1\n1 0.7 1 1 9 9\n"


def idx() -> bytes:
    return gzip.compress(b"\x00\x00\x08\x03\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x03" + bytes(range(12)))


def array() -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, np.arange(6.0).reshape(2, 3))
        file.flush()
        return Path(file.name).read_bytes()


def safetensors() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_weights(f"{folder}/w.safetensors", read_weights(FILES / "model" / "small.caffemodel"))
        return Path(f"{folder}/w.safetensors").read_bytes()


def onnx() -> bytes:
    net = build_net(read_net(FILES / "model" / "small.prototxt"), engines=())
    data: bytes = onnx_model(net).SerializeToString()
    return data


def rows() -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".h5") as file:
        with h5py.File(file.name, "w") as made:
            made["data"], made["label"] = np.arange(12.0).reshape(4, 3), np.arange(4)
        return Path(file.name).read_bytes()


def record() -> bytes:
    return next(open_database(str(FILES / "db_lmdb"), "LMDB").records(None))[1]


def inspect(path: str) -> None:
    """All kinds of files go through this command."""
    with ExitStack() as stack:
        out = StringIO()
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(out))
        assert main(["inspect", path]) in (0, 1), out.getvalue()


def database(backend: str) -> Callable[[str], None]:
    def read(path: str) -> None:
        reader = open_database(path, backend)
        for _, (key, value) in zip(range(1000), reader.records(None)):
            parse_datum(value, reader.name(key))

    return read


def command(name: str, *arguments: str) -> Callable[[str], None]:
    """A command whose input is the file; its output, if any, is whole or absent."""
    def run(path: str) -> None:
        out = os.path.join(os.path.dirname(path), "out")
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            assert main([name, *(path if a == "IN" else out if a == "OUT" else a for a in arguments)]) in (0, 1)
        assert not [each for each in os.listdir(os.path.dirname(path)) if each.endswith(".tmp")]

    return run


def hdf5_rows(path: str) -> None:
    Hdf5Source([path], ["data", "label"], 3, rows=Random(0).stream("x")).read()


def member(file: Path) -> Callable[[Callable[[str], None]], Callable[[str], None]]:
    """Reads the folder of a database in which this one file is damaged."""
    def of(read: Callable[[str], None]) -> Callable[[str], None]:
        def run(path: str) -> None:
            folder = os.path.join(os.path.dirname(path), "database")
            shutil.copytree(file.parent, folder, dirs_exist_ok=True)
            shutil.copy(path, os.path.join(folder, file.name))
            read(folder)

        return run

    return of


def leveldb(name: str) -> tuple[Callable[[], bytes], Callable[[str], None]]:
    file = FILES / name
    return file.read_bytes, member(file)(database("LEVELDB"))


def golden(name: str, read: Callable[[str], None] = inspect) -> tuple[Callable[[], bytes], Callable[[str], None]]:
    return (FILES / name).read_bytes, read


def picture(name: str) -> tuple[Callable[[], bytes], Callable[[str], None]]:
    return (FILES / "images" / name).read_bytes, lambda path: decode(Path(path).read_bytes(), True, path)


READERS: dict[str, tuple[Callable[[], bytes], Callable[[str], object]]] = {
    "net": golden("model/small.prototxt"), "old net": golden("upgrade/net_v0.prototxt"),
    "solver": golden("upgrade/solver_adam.prototxt"), "weights": golden("model/small.caffemodel"),
    "old weights": golden("model/small_v1.caffemodel", read_weights),
    "hdf5 weights": golden("model/small.caffemodel.h5"), "state": golden("model/small_iter_3.solverstate"),
    "hdf5 state": golden("model/small_iter_3.solverstate.h5"), "mean": golden("mean.binaryproto"),
    "lmdb": golden("db_lmdb/data.mdb", database("LMDB")),
    "mean of lmdb": golden("db_encoded_lmdb/data.mdb", command("compute_image_mean", "IN", "OUT")),
    "leveldb log": leveldb("db_leveldb/000003.log"), "leveldb manifest": leveldb("db_leveldb/MANIFEST-000002"),
    "leveldb table": leveldb("db_leveldb_table/000005.ldb"),
    "png": picture("img_00.png"), "jpeg": picture("img_01.jpg"),
    "datum": (record, lambda path: parse_datum(Path(path).read_bytes(), "record")),
    "list": golden("list.txt", read_image_list), "labels": golden("list.txt", lambda path: read_image_list(path, 2)),
    "windows": (windows, lambda path: read_window_list(path, 0.5, 0.5)), "idx": (idx, read_idx),
    "log": golden("logs/train.txt", command("parse_log", "IN", ".")),
    "safetensors": (safetensors, inspect), "onnx": (onnx, inspect),
    "drawing": golden("model/small.prototxt", command("draw", "IN", "net.svg")),
    "npy": (array, inspect), "hdf5": (rows, hdf5_rows),
    "upgrade": golden("upgrade/net_v1.prototxt", command("upgrade_net", "IN", "OUT")),
    "upgrade weights": golden("model/small_v1.caffemodel", command("upgrade_net", "IN", "OUT")),
}


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    """No reader takes memory for what a file merely says."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    if sys.platform == "linux" and SECONDS:
        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(name, tmp_path, monkeypatch):
    original, read = READERS[name]
    good = original()
    monkeypatch.chdir(tmp_path)

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=not SECONDS,
              suppress_health_check=list(HealthCheck))
    @given(CHANGES.map(lambda changes: damaged(good, changes)) | st.binary(max_size=80))
    def damage(data):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            path.write_bytes(data)
            try:
                read(str(path))
            except LayerForgeError as error:
                assert str(error).strip()

    damage()
    stop, number = time.monotonic() + SECONDS, time.time_ns()
    while time.monotonic() < stop:
        number += 1
        seed(number)(damage)()


@pytest.mark.parametrize("name", READERS)
def test_good_files_are_read(name, tmp_path, monkeypatch):
    original, read = READERS[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_bytes(original())
    if name in ("labels", "mean of lmdb"):  # one label a line is given; one picture is gray
        pytest.raises(DataError, read, str(tmp_path / "in" / "file")) if name == "labels" else read(
            str(tmp_path / "in" / "file"))
        return
    read(str(tmp_path / "in" / "file"))


def test_cifar_files_cut_anywhere_are_refused(tmp_path):
    for size in (0, 1, 3072, 3074):
        for name in CIFAR10_TRAIN:
            (tmp_path / name).write_bytes(bytes(size))
        with pytest.raises(DataError):
            write_cifar10(str(tmp_path), str(tmp_path))
