"""Makes a database of pairs of pictures from one of pictures, in LMDB.

A pair is a picture with the channels of both; its label is 1 where both have the same label, which is every other pair.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from layerforge.data.datasets import picture_records
from layerforge.data.datum import parse_datum
from layerforge.data.reader import open_database
from layerforge.data.writer import write_lmdb
from layerforge.zoo.program import run


def read(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, C, H, W) and labels (n,) of a database."""
    reader = open_database(path, "LMDB")
    made = [parse_datum(value, reader.name(key)) for key, value in reader.records(None)]
    return np.stack([datum.array() for datum in made]), np.array([datum.label for datum in made])


def pairs(labels: np.ndarray, seed: int = 1) -> Iterator[tuple[int, int]]:
    """As many pairs of indices as there are labels: alike and different in turn."""
    rng = np.random.default_rng(seed)
    alike = {label: np.flatnonzero(labels == label) for label in np.unique(labels)}
    different = {label: np.flatnonzero(labels != label) for label in alike}
    for i in range(len(labels)):
        first = int(rng.integers(len(labels)))
        others = (alike if i % 2 == 0 or len(alike) == 1 else different)[labels[first]]
        yield first, int(rng.choice(others))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="the database of pictures, such as mnist_train_lmdb")
    parser.add_argument("target", help="the database to make, such as mnist_siamese_train_lmdb")
    arguments = parser.parse_args()
    pictures, labels = read(arguments.source)
    chosen = list(pairs(labels))
    stacked = (np.concatenate([pictures[a], pictures[b]]) for a, b in chosen)
    count = write_lmdb(arguments.target, picture_records(stacked, [int(labels[a] == labels[b]) for a, b in chosen]))
    print(f"{arguments.target}: {count:,} pairs")


if __name__ == "__main__":
    run(main)
