"""`layerforge demo`: the digits, from pictures to a trained net, and how good it is."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import layerforge.zoo
from layerforge.cli import options
from layerforge.cli.dataset import digits_table
from layerforge.cli.flags import Command, Flag
from layerforge.cli.report import Table
from layerforge.cli.train import command as train_command
from layerforge.cli.train import train
from layerforge.core.storage import HOST
from layerforge.netdef.types import Field, Phase, SolverDef

TEXTS = ("train_val.prototxt", "solver.prototxt", "deploy.prototxt")


def run(args: SimpleNamespace) -> int:
    """Puts texts and databases into a folder, trains there, and tries the saved weights on the test pictures."""
    from layerforge.data.datasets import write_digits
    from layerforge.schema.read import read_solver

    with working_in(args.out):
        for name in TEXTS:
            shutil.copyfile(Path(layerforge.zoo.__path__[0], "digits", name), name)
        if not all(os.path.isdir(f"digits_{part}_lmdb") for part in ("train", "test")):
            write_digits(digits_table())
        definition = changed(read_solver("solver.prototxt"), random_seed=args.seed, max_iter=args.iterations)
        flags = {flag.name: flag.default for flag in train_command.flags}
        code = train(definition, SimpleNamespace(**{**flags, "threads": args.threads}))
        if code:
            return code
        weights = f"digits_iter_{definition.fields['max_iter'].value}.caffemodel"
        counts = confusions("train_val.prototxt", weights)
    print(f"\n{table(counts)}\n\n{summary(counts)}\n\nweights: {os.path.join(args.out, weights)}")
    return 0


@contextlib.contextmanager
def working_in(folder: str) -> Iterator[None]:
    """Makes the folder and works in it: relative names in the texts lead there."""
    os.makedirs(folder, exist_ok=True)
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def changed(definition: SolverDef, **values: int | None) -> SolverDef:
    """The solver with these fields; None leaves one as it is."""
    fields = {name: Field(value) for name, value in values.items() if value is not None}
    return dataclasses.replace(definition, fields={**definition.fields, **fields})


def confusions(model: str, weights: str) -> np.ndarray:
    """counts[t, p]: how many test pictures of the digit t are taken for p.  (10, 10)"""
    from layerforge.io.weights import load_weights
    from layerforge.net.build import build_net
    from layerforge.schema.read import read_net

    net = build_net(read_net(model), Phase.TEST)
    with contextlib.closing(net):
        load_weights(net, weights)
        net.forward()
        scores, labels = (net.blobs[name].data.array(HOST).reshape(net.blobs[name].shape) for name in ("ip2", "label"))
    counts = np.zeros((scores.shape[1], scores.shape[1]), int)
    np.add.at(counts, (labels.astype(int).ravel(), scores.argmax(1)), 1)
    return counts


def table(counts: np.ndarray) -> Table:
    """Rows are the digits, columns what the net takes them for; a dot for none."""
    digits = [str(d) for d in range(len(counts))]
    body = [[digit, *(str(n) if n else "." for n in row)] for digit, row in zip(digits, counts.tolist())]
    return Table("test pictures: the digit, and what the net takes it for", ("", *digits), body)


def summary(counts: np.ndarray) -> str:
    """The accuracy in words."""
    right, total = int(np.trace(counts)), int(counts.sum())
    return f"test accuracy: {right / total:.1%} ({right} of {total} pictures that the net never saw)"


command = Command(
    "demo", "trains a small net on real handwritten digits and shows how good it is", run,
    (Flag("out", str, os.path.join("runs", "digits"), "the folder for databases, texts and weights", "DIR"),
     Flag("seed", int, None, "another random seed", "N", least=0),
     dataclasses.replace(options.ITERATIONS, default=None, doc="iterations to train, instead of the solver's max_iter"),
     dataclasses.replace(options.THREADS, default=1, doc="most threads; more do not help so small a net")),
    examples=(("layerforge demo", "under a minute on two cores; everything goes into runs/digits"),
              ("layerforge demo --out /tmp/digits --seed 7", "elsewhere, with other random numbers")),
)
