"""`layerforge dataset`: databases of MNIST or of the UCI digits."""

from __future__ import annotations

import os
from types import SimpleNamespace

import layerforge.zoo
from layerforge.cli.flags import Command, Flag, UsageError
from layerforge.core.errors import did_you_mean

DIGITS = os.path.join("digits", "digits.csv.gz")  # within the zoo


def run(args: SimpleNamespace) -> int:
    """Writes the databases and names them."""
    from layerforge.data import datasets

    if args.name not in ("mnist", "digits"):
        raise UsageError(f"there is no data set {args.name!r}",
                         hint=did_you_mean(args.name, ("mnist", "digits")) or "the data sets are mnist and digits")
    if args.name == "digits" and getattr(args, "from"):
        raise UsageError("--from is for mnist; the digits ship with the project")
    os.makedirs(args.out, exist_ok=True)
    if args.name == "mnist":
        made = datasets.write_mnist(getattr(args, "from") or None, args.out)
    else:
        made = datasets.write_digits(digits_table(), args.out)
    for path, records in made:
        print(f"{path}: {records:,} pictures")
    return 0


def digits_table() -> str:
    """The pictures that are installed with the zoo."""
    return os.path.join(layerforge.zoo.__path__[0], DIGITS)


command = Command(
    "dataset", "writes databases: mnist, digits", run,
    (Flag("from", str, "", "the folder of MNIST's four IDX files; without it they are downloaded", "DIR"),
     Flag("out", str, ".", "the folder to write into", "DIR")),
    arguments=("NAME",),
    examples=(("layerforge dataset mnist --from ~/Downloads/mnist", "mnist_train_lmdb and mnist_test_lmdb, here"),
              ("layerforge dataset digits --out data", "digits_train_lmdb and digits_test_lmdb in data")),
)
