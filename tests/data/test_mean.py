"""Mean pictures."""

from __future__ import annotations

import numpy as np
import pytest

from layerforge.core.errors import DataError
from layerforge.data import mean
from layerforge.data.datum import make_float_datum
from layerforge.data.mean import mean_picture
from layerforge.data.reader import open_database


def test_the_mean_is_that_of_all_records_over_many_portions(make_lmdb, pictures, monkeypatch):
    monkeypatch.setattr(mean, "ROWS", 4)
    made = pictures(23, (2, 3, 4))
    reader = open_database(make_lmdb(made), "LMDB")
    found, count = mean_picture(reader, reader.records(None))
    assert count == 23 and found.dtype == np.float32
    np.testing.assert_allclose(found, np.mean([pixels for pixels, _ in made], axis=0), rtol=1e-6)


def test_records_of_floats_are_added_as_such(make_lmdb):
    values = np.random.default_rng(0).normal(size=(5, 2, 1, 3)).astype(np.float32)
    reader = open_database(make_lmdb([make_float_datum(row) for row in values]), "LMDB")
    np.testing.assert_allclose(mean_picture(reader, reader.records(None))[0], values.mean(0), rtol=1e-5, atol=1e-7)


def test_no_records_are_an_error(make_lmdb, pictures):
    with pytest.raises(DataError, match="the database is empty"):
        mean_picture(open_database(make_lmdb(pictures(1)), "LMDB"), [])
