"""Data sets as LMDB databases in Caffe's form: MNIST, the UCI optical digits, CIFAR-10, folders of pictures."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from layerforge.core.errors import DataError
from layerforge.core.files import new_folder, replacing
from layerforge.core.random import Random
from layerforge.data.convert import Conversion, file_records, folder_list
from layerforge.data.datum import make_datum
from layerforge.data.images import opencv, resize
from layerforge.data.writer import write_lmdb

MNIST_MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
TIMEOUT_SECONDS = 30
MAX_IDX_BYTES = 1 << 30


class IdxFile(NamedTuple):
    """A file of MNIST and the SHA-256 of what it holds, uncompressed."""

    name: str
    sha256: str


MNIST = {
    "train": (
        IdxFile("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        IdxFile("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    ),
    "test": (
        IdxFile("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        IdxFile("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ),
}


def write_mnist(source: str | None, out: str = ".") -> list[tuple[str, int]]:
    """Writes mnist_train_lmdb and mnist_test_lmdb into `out`; returns (path, records) of each.

    source  the folder of the four IDX files, compressed or not; None downloads them into `out`/mnist first
    """
    if source is None:
        source = os.path.join(out, "mnist")
        for pair in MNIST.values():
            for file in pair:
                download_idx(file, source)
    made = []
    for part, (images, labels) in MNIST.items():
        x, t = read_idx(_idx_path(source, images.name)), read_idx(_idx_path(source, labels.name))
        if x.ndim != 3 or t.shape != x.shape[:1]:
            raise DataError(f"{source}: {images.name} has the shape {x.shape}, {labels.name} {t.shape}",
                            hint="pictures (n, height, width) and n labels are needed")
        path = os.path.join(out, f"mnist_{part}_lmdb")
        made.append((path, write_lmdb(path, picture_records(x[:, None], t.tolist()))))
    return made


def picture_records(pictures: Iterable[np.ndarray], labels: Sequence[int]) -> Iterator[tuple[bytes, bytes]]:
    """Records of pictures (C, H, W) under Caffe's keys: the number, eight digits wide."""
    for i, (picture, label) in enumerate(zip(pictures, labels)):
        yield b"%08d" % i, make_datum(picture, label)


def read_idx(path: str) -> np.ndarray:
    """The bytes of an IDX file, compressed or not, in its shape.

    Raises DataError when it is no such file, cut off, or larger than it says.
    """
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else open(path, "rb") as file:
            return _read_idx(file, path)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        problem = getattr(error, "strerror", None) or "it is cut off or broken"
        raise DataError(f"{path} cannot be read: {problem}") from None


def _read_idx(file: Any, path: str) -> np.ndarray:
    zero, kind, axes = struct.unpack(">HBB", file.read(4))
    if zero or kind != 8:
        raise DataError(f"{path} is no IDX file of bytes")
    shape = struct.unpack(f">{axes}I", file.read(4 * axes))
    count = 1
    for n in shape:
        count *= n
    if count > MAX_IDX_BYTES:
        raise DataError(f"{path} says it holds {' × '.join(map(str, shape))} bytes, more than {MAX_IDX_BYTES}")
    data = file.read(count + 1)
    if len(data) != count:
        raise DataError(f"{path} is cut off: {len(data)} bytes of {count}" if len(data) < count
                        else f"{path} is broken: it goes on behind the {count} bytes it says")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _idx_path(folder: str, name: str) -> str:
    """The file, compressed or not; older copies write a dot before `idx`."""
    for each in (name, f"{name}.gz", name.replace("-idx", ".idx"), name.replace("-idx", ".idx") + ".gz"):
        if os.path.isfile(os.path.join(folder, each)):
            return os.path.join(folder, each)
    raise DataError(f"{folder!r} has no {name} or {name}.gz", hint="the four IDX files of MNIST are needed")


def download_idx(file: IdxFile, folder: str) -> str:
    """Downloads a file of MNIST unless it is there; returns its path. What has another SHA-256 is refused.

    Raises DataError when no mirror delivers it.
    """
    path = os.path.join(folder, f"{file.name}.gz")
    if os.path.isfile(path):
        return path
    os.makedirs(folder, exist_ok=True)
    problems = []
    for mirror in MNIST_MIRRORS:
        try:
            with urllib.request.urlopen(f"{mirror}{file.name}.gz", timeout=TIMEOUT_SECONDS) as answer:
                data = answer.read(MAX_IDX_BYTES)
            found = hashlib.sha256(gzip.decompress(data)).hexdigest()
        except (OSError, EOFError, zlib.error, urllib.error.URLError) as error:
            problems.append(f"{mirror}: {error}")
            continue
        if found == file.sha256:
            with replacing(path) as temporary, open(temporary, "wb") as out:
                out.write(data)
            return path
        problems.append(f"{mirror}: its content is not the right one")
    raise DataError(f"{file.name}.gz cannot be downloaded: {'; '.join(problems)}",
                    hint="get the four IDX files elsewhere and name their folder with --from")


def write_digits(table: str, out: str = ".") -> list[tuple[str, int]]:
    """Writes digits_train_lmdb and digits_test_lmdb into `out`; returns (path, records) of each.

    table  digits.csv.gz: 64 pixels 0–16, kept as they are, and the label, one picture a line. Every fifth, with
           index % 5 == 4, is a test picture.
    """
    rows = _digit_rows(table)
    pictures, labels = rows[:, :64].reshape(-1, 1, 8, 8), rows[:, 64]
    is_test = np.arange(len(rows)) % 5 == 4
    made = []
    for part, chosen in (("train", ~is_test), ("test", is_test)):
        path = os.path.join(out, f"digits_{part}_lmdb")
        made.append((path, write_lmdb(path, picture_records(pictures[chosen], labels[chosen].tolist()))))
    return made


def write_digit_pictures(table: str, out: str) -> list[tuple[str, int]]:
    """Writes the digits as JPEG files of 32 × 32 pixels, class/number.jpg, with lists train.txt and test.txt and the
    names of the classes in classes.txt, into the new folder `out`; returns (path, pictures) of each list.
    """
    rows, made = _digit_rows(table), []
    with new_folder(out) as folder:
        lists: dict[str, list[str]] = {"train": [], "test": []}
        for digit in range(10):
            os.mkdir(os.path.join(folder, str(digit)))
        for i, row in enumerate(rows):
            picture = resize((row[:64].reshape(8, 8, 1) * 15).astype(np.uint8), 32, 32)
            name = f"{row[64]}/{i:04}.jpg"
            opencv().imwrite(os.path.join(folder, name), picture)
            lists["test" if i % 5 == 4 else "train"].append(f"{name} {row[64]}\n")
        for part, lines in (*lists.items(), ("classes", [f"{digit}\n" for digit in range(10)])):
            with open(os.path.join(folder, f"{part}.txt"), "w", encoding="ascii") as file:
                file.writelines(lines)
        made = [(os.path.join(out, f"{part}.txt"), len(lines)) for part, lines in lists.items()]
    return made


def _digit_rows(table: str) -> np.ndarray:
    """(n, 65): pixels and label.

    Raises DataError when the table cannot be read.
    """
    try:
        with gzip.open(table, "rt", encoding="ascii") as file:
            rows = np.loadtxt(file, delimiter=",", dtype=np.uint8, ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{table} cannot be read: {error}") from None
    if rows.shape[1] != 65:
        raise DataError(f"{table} has {rows.shape[1]} numbers a line, 64 pixels and a label are needed")
    return rows


CIFAR10_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
CIFAR10_TEST = ("test_batch.bin",)
CIFAR_ROW, CIFAR_ROWS = 1 + 3 * 32 * 32, 10000


def write_cifar10(source: str, out: str = ".") -> list[tuple[str, int]]:
    """Writes cifar10_train_lmdb and cifar10_test_lmdb into `out`, with Caffe's keys and RGB; returns (path, records).

    source  the folder of the binary version's six files, or its .tar.gz
    """
    made = []
    for part, names in (("train", CIFAR10_TRAIN), ("test", CIFAR10_TEST)):
        rows = np.concatenate([_cifar_rows(source, name) for name in names])
        path = os.path.join(out, f"cifar10_{part}_lmdb")
        pictures = rows[:, 1:].reshape(-1, 3, 32, 32)
        records = ((b"%05d" % i, make_datum(x, int(t))) for i, (x, t) in enumerate(zip(pictures, rows[:, 0])))
        made.append((path, write_lmdb(path, records)))
    return made


def _cifar_rows(source: str, name: str) -> np.ndarray:
    """(rows, 3073): the label, and 3 × 32 × 32 bytes."""
    data = _member(source, name)
    if not data or len(data) % CIFAR_ROW:
        raise DataError(f"{source}: {name} has {len(data)} bytes, no whole number of rows of {CIFAR_ROW}",
                        hint="take the binary version of CIFAR-10; the file may be cut off")
    rows = np.frombuffer(data, np.uint8).reshape(-1, CIFAR_ROW)
    if rows[:, 0].max() > 9:
        raise DataError(f"{source}: {name} has the label {rows[:, 0].max()}, CIFAR-10's go up to 9",
                        hint="take the binary version of CIFAR-10, not CIFAR-100")
    return rows


def _member(source: str, name: str) -> bytes:
    """The bytes of a file in a folder or an archive; nothing is unpacked to disk."""
    limit = CIFAR_ROW * CIFAR_ROWS
    try:
        if os.path.isdir(source):
            with open(os.path.join(source, name), "rb") as file:
                return file.read(limit)
        with tarfile.open(source) as archive:
            for member in archive:
                if os.path.basename(member.name) == name and member.isfile():
                    inner = archive.extractfile(member)
                    return inner.read(limit) if inner else b""
    except OSError as error:
        raise DataError(f"{error.filename or source} cannot be read: {error.strerror or error}",
                        hint="name the folder cifar-10-batches-bin, or cifar-10-binary.tar.gz") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{source} is no whole archive: {error}") from None
    raise DataError(f"{source} has no {name}", hint="take the binary version of CIFAR-10")


def write_folder(
    source: str, out: str, conversion: Conversion, test_every: int,
    watch: Callable[[Iterable[Any], int], Iterator[Any]],
) -> list[tuple[str, int]]:
    """Writes databases of a folder root/class/picture in a random but fixed order, and NAME_classes.txt, into `out`.

    test_every  every n-th picture of a class goes into NAME_test_lmdb, the others into NAME_train_lmdb; with 0 all go
                into NAME_lmdb
    watch       gets the records and their number, and hands them on
    """
    classes, *parts = folder_list(source, test_every)
    name = os.path.basename(os.path.abspath(source))
    made = []
    for part, pictures in zip(("train_lmdb", "test_lmdb") if test_every else ("lmdb",), parts):
        if not pictures.names:
            raise DataError(f"{source!r} has no class of {test_every} pictures, so none for the test",
                            hint="take a smaller --test_every, or 0")
        order = Random(0).stream(part).at(0).permutation(len(pictures.names)).tolist()
        path = os.path.join(out, f"{name}_{part}")
        records = file_records(pictures, conversion, order=order)
        made.append((path, write_lmdb(path, watch(records, len(pictures.names)))))
    with replacing(os.path.join(out, f"{name}_classes.txt")) as temporary:
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(f"{each}\n" for each in classes)
    return made
