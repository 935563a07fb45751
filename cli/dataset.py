"""`layerforge dataset`: databases of MNIST, CIFAR-10, the UCI digits, or a folder of pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace

import layerforge.zoo
from layerforge.cli.convert_imageset import ENCODED, GRAY, HEIGHT, WIDTH
from layerforge.cli.flags import Command, Flag, UsageError
from layerforge.cli.progress import track
from layerforge.core.errors import did_you_mean

DIGITS = os.path.join("digits", "digits.csv.gz")  # within the zoo
Made = list[tuple[str, int]]


def run(args: SimpleNamespace) -> int:
    """Writes the databases and names them."""
    if args.name not in SETS:
        raise UsageError(f"there is no data set {args.name!r}",
                         hint=did_you_mean(args.name, SETS) or f"the data sets are {', '.join(SETS)}")
    os.makedirs(args.out, exist_ok=True)
    for path, records in SETS[args.name](args, getattr(args, "from")):
        print(f"{path}: {records:,} pictures")
    return 0


def _mnist(args: SimpleNamespace, source: str) -> Made:
    from layerforge.data.datasets import write_mnist

    return write_mnist(source or None, args.out)


def _digits(args: SimpleNamespace, source: str) -> Made:
    from layerforge.data.datasets import write_digit_pictures, write_digits

    if source:
        raise UsageError("--from is not for digits, which ship with the project")
    if args.pictures:
        return write_digit_pictures(digits_table(), args.pictures)
    return write_digits(digits_table(), args.out)


def _cifar10(args: SimpleNamespace, source: str) -> Made:
    from layerforge.data.datasets import write_cifar10

    if not source:
        raise UsageError("--from is missing: the folder cifar-10-batches-bin, or cifar-10-binary.tar.gz")
    return write_cifar10(source, args.out)


def _folder(args: SimpleNamespace, source: str) -> Made:
    from layerforge.data.convert import Conversion
    from layerforge.data.datasets import write_folder

    if not source:
        raise UsageError("--from is missing: the folder whose folders are the classes")
    if bool(args.resize_width) != bool(args.resize_height):
        raise UsageError("--resize_width and --resize_height go together")
    conversion = Conversion(os.path.join(source, ""), args.resize_height, args.resize_width, not args.gray,
                            "?" if args.encoded else "")
    return write_folder(source, args.out, conversion, args.test_every,
                        lambda records, count: track(records, "pictures", count))


SETS: dict[str, Callable[[SimpleNamespace, str], Made]] = {
    "mnist": _mnist, "digits": _digits, "cifar10": _cifar10, "folder": _folder}


def digits_table() -> str:
    """The pictures that are installed with the zoo."""
    return os.path.join(layerforge.zoo.__path__[0], DIGITS)


command = Command(
    "dataset", "writes databases: mnist, cifar10, digits, or a folder of pictures", run,
    (Flag("from", str, "", "where the data is: folder of MNIST's four IDX files (without it they are downloaded), of "
                           "CIFAR-10's binary files or their .tar.gz, of class/picture", "PATH"),
     Flag("out", str, ".", "the folder to write into", "DIR"),
     Flag("pictures", str, "", "of the digits: writes JPEG files and their lists into this new folder instead", "DIR"),
     Flag("test_every", int, 5, "of a folder: every n-th picture of a class is for the test; 0: none", "N", least=0),
     GRAY, WIDTH, HEIGHT, ENCODED),
    arguments=("NAME",),
    examples=(("layerforge dataset mnist --from ~/Downloads/mnist", "mnist_train_lmdb and mnist_test_lmdb, here"),
              ("layerforge dataset digits --out data", "digits_train_lmdb and digits_test_lmdb in data"),
              ("layerforge dataset cifar10 --from cifar-10-binary.tar.gz", "cifar10_train_lmdb and cifar10_test_lmdb"),
              ("layerforge dataset folder --from pets --resize_width 64 --resize_height 64",
               "pets/cat/1.jpg, pets/dog/… → pets_train_lmdb, pets_test_lmdb and pets_classes.txt")),
)
