"""Databases made for a test; a short search for what can be freed."""

import gc

import checkout  # noqa: F401  where the project is not installed
import numpy as np
import pytest

from layerforge.data.datum import make_datum


@pytest.fixture(autouse=True, scope="module")
def short_search():
    """What is alive already, every test and module, is left out when the collector searches during a file's tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def make_lmdb(tmp_path):
    """Writes an LMDB of records (bytes, or pixels and label) and returns its path."""
    import lmdb

    def make(records, name="db"):
        path = str(tmp_path / name)
        with lmdb.open(path, map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
            for i, record in enumerate(records):
                transaction.put(b"%08d" % i, record if isinstance(record, bytes) else make_datum(*record))
        return path

    return make


@pytest.fixture
def pictures():
    """Makes random pictures whose label is their number."""

    def make(count, shape=(1, 4, 5)):
        rng = np.random.default_rng(count)
        return [(rng.integers(0, 256, shape, np.uint8), i) for i in range(count)]

    return make
