"""Records of Caffe's databases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerforge.core.errors import DataError
from layerforge.data.datum import make_datum, parse_datum, stack_raw


def picture(shape=(2, 3, 4)):
    return np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)


@pytest.mark.parametrize("label", [0, 1, 127, 128, 999, 2**31 - 1, -1, -(2**31)])
def test_a_record_comes_back(label):
    datum = parse_datum(make_datum(picture(), label), "r")
    assert datum.label == label and not datum.encoded
    np.testing.assert_array_equal(datum.array(), picture())


def test_an_encoded_record_keeps_its_bytes():
    datum = parse_datum(make_datum(b"some jpeg", 3, encoded=True), "r")
    assert datum.encoded and bytes(datum.data) == b"some jpeg" and datum.label == 3


def test_float_data_is_read_packed_and_unpacked():
    values = np.array([1.5, -2, 3e8], np.float32)
    head = b"\x08\x03\x10\x01\x18\x01"
    unpacked = head + b"".join(b"\x35" + value.tobytes() for value in values) + b"\x28\x07"
    packed = head + b"\x32\x0c" + values.tobytes()
    assert parse_datum(unpacked, "r").array().ravel().tolist() == values.tolist()
    assert parse_datum(unpacked, "r").label == 7
    assert parse_datum(packed, "r").array().ravel().tolist() == values.tolist()


def test_unknown_fields_are_skipped():
    extra = b"\xa2\x06\x03abc" + b"\x98\x06\x05" + b"\x9d\x06abcd" + b"\x99\x06abcdefgh"
    np.testing.assert_array_equal(parse_datum(extra + make_datum(picture()), "r").array(), picture())


@pytest.mark.parametrize("record", [
    b"", make_datum(picture())[:-5], make_datum(picture())[:9], b"\xff" * 30, b"not a datum",
    b"\x22\xff\xff\xff\xff\x0fab",
    b"\x08\x01\x10\x01\x18\x01\x35ab", b"\x08\x7f\x10\x7f\x18\x7f\x22\x01a", b"\x38\x01", b"\x00\x01"])
def test_a_broken_record_is_named(record):
    with pytest.raises(DataError, match="record '7' is broken"):
        parse_datum(record, "db: record '7'")


@given(st.binary(max_size=60))
def test_any_bytes_are_a_datum_or_an_error(record):
    try:
        parse_datum(record, "r")
    except DataError as error:
        assert "is broken" in str(error)


def test_equal_records_become_one_array():
    rng = np.random.default_rng(1)
    x, labels = rng.integers(0, 256, (6, 3, 2, 2), np.uint8), [0, 5, 127, 3, 3, 9]
    records = [make_datum(pixels, label) for pixels, label in zip(x, labels)]
    stacked = stack_raw(records, parse_datum(records[0], "r"))
    np.testing.assert_array_equal(stacked[0], x)
    assert stacked[1].tolist() == labels


def test_labels_of_two_bytes_are_stacked_too():
    records = [make_datum(picture(), label) for label in (300, 128, 999)]
    assert stack_raw(records, parse_datum(records[0], "r"))[1].tolist() == [300, 128, 999]


@pytest.mark.parametrize("other", [
    make_datum(picture(), 300), make_datum(picture((2, 4, 3)), 1),
    make_datum(b"x" * 24, 1, encoded=True), make_datum(picture(), -1)])
def test_unequal_records_are_not_stacked(other):
    records = [make_datum(picture(), 1), other]
    assert stack_raw(records, parse_datum(records[0], "r")) is None
