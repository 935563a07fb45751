"""Storage keeps representations in agreement and allocates nothing early."""

import numpy as np
import pytest

from layerforge.core.blob import Blob, View
from layerforge.core.errors import LayerError
from layerforge.core.storage import HOST, Storage
from layerforge.core.workspace import Workspace


class Reversed:
    """A stand-in device: it keeps values in reverse order and counts conversions."""

    name = "reversed"
    plain = True

    def __init__(self):
        self.conversions = 0

    def zeros(self, count, dtype):
        return np.zeros(count, dtype)

    def to_host(self, source, target):
        self.conversions += 1
        target[:] = source[::-1]

    def from_host(self, source, target):
        self.conversions += 1
        target[:] = source[::-1]


def test_nothing_is_allocated_before_the_first_read():
    storage = Storage(4)
    assert not storage.allocated
    storage.array()
    assert storage.allocated


def test_a_write_on_one_side_is_seen_on_the_other():
    storage, device = Storage(3), Reversed()
    storage.set(np.array([1, 2, 3], np.float32))
    assert list(storage.array(device)) == [3, 2, 1]
    storage.array(device)[0] = 9
    storage.wrote(device)
    assert list(storage.array(HOST)) == [1, 2, 9]


def test_reading_twice_converts_once():
    storage, device = Storage(3), Reversed()
    storage.set(np.zeros(3, np.float32))
    storage.array(device)
    storage.array(device)
    assert device.conversions == 1


def test_a_claim_overwrites_without_conversion():
    storage, device = Storage(3), Reversed()
    storage.set(np.ones(3, np.float32))
    storage.claim(device)[:] = 5
    assert device.conversions == 0
    assert list(storage.array(HOST)) == [5, 5, 5]


def test_two_devices_agree_through_the_host():
    storage, one, other = Storage(2), Reversed(), Reversed()
    storage.claim(one)[:] = [1, 2]
    assert list(storage.array(other)) == [1, 2]
    assert list(storage.array(HOST)) == [2, 1]


def test_the_initial_value_is_made_at_the_first_read_only():
    made = []
    storage = Storage(2, initial=lambda: made.append(1) or np.array([4, 5]))
    assert not made
    assert list(storage.array()) == [4, 5]
    storage.array()
    assert made == [1]


def test_setting_a_value_skips_the_initial_one():
    storage = Storage(2, initial=lambda: pytest.fail("filled although it was set"))
    storage.set(np.array([1, 2], np.float32))
    assert list(storage.array()) == [1, 2]


def test_shrinking_and_growing_back_keeps_the_memory():
    storage = Storage(4)
    array = storage.array()
    array[:] = [1, 2, 3, 4]
    storage.resize(2)
    storage.resize(4)
    assert storage.array().base is array or storage.array() is array


def test_clearing_touches_no_memory_until_it_is_read():
    storage = Storage(2)
    storage.set(np.array([1, 2], np.float32))
    held = storage.array()
    storage.clear()
    assert storage.cleared and list(held) == [1, 2]
    assert list(storage.array()) == [0, 0]
    assert not storage.cleared


def test_overwriting_ends_a_clear():
    storage = Storage(2)
    storage.clear()
    storage.claim(HOST)[:] = 3
    assert not storage.cleared and list(storage.array()) == [3, 3]


def test_a_layout_with_padding_is_not_cut():
    class Padded(Reversed):
        plain = False

        def zeros(self, count, dtype):
            return np.zeros(8, dtype)

        def from_host(self, source, target):
            target[: source.size] = source

        def to_host(self, source, target):
            target[:] = source[: target.size]

    storage, padded = Storage(3), Padded()
    storage.set(np.array([1, 2, 3], np.float32))
    assert storage.array(padded).size == 8
    storage.resize(2)
    assert list(storage.array(HOST)) == [1, 2]


def test_every_write_raises_the_version():
    storage = Storage(1)
    seen = {storage.version}
    for write in (
        lambda: storage.set(np.ones(1, np.float32)),
        lambda: storage.wrote(HOST),
        lambda: storage.claim(HOST),
    ):
        write()
        seen.add(storage.version)
    assert len(seen) == 4


def test_a_blob_refuses_a_negative_axis():
    with pytest.raises(LayerError, match="cannot have the shape"):
        Blob((2, -1))


def test_a_blob_refuses_more_values_than_caffe_counts():
    with pytest.raises(LayerError, match="at most"):
        Blob((65536, 65536))


def test_sharing_makes_two_blobs_one_memory():
    a, b = Blob((2, 3)), Blob((6,))
    View(b).share(View(a))
    View(a).data[...] = 7
    assert (View(b).data == 7).all()


def test_scratch_of_one_layer_does_not_overlap():
    workspace = Workspace()
    one, end = workspace.scratch((3,), np.float32, 0)
    two, _ = workspace.scratch((5,), np.float64, end)
    one.data[:], two.data[:] = 1, 2
    assert (one.data == 1).all() and (two.data == 2).all()


def test_scratch_of_two_layers_is_the_same_memory():
    workspace = Workspace()
    one, _ = workspace.scratch((4,), np.float32, 0)
    two, _ = workspace.scratch((4,), np.float32, 0)
    assert np.shares_memory(one.data, two.data)


class Halved(Reversed):
    """Keeps whole numbers, halved and rounded down."""

    plain, lossy = False, True

    def to_host(self, source, target):
        target[:] = source * 2

    def from_host(self, source, target):
        target[:] = source // 2


def test_a_copy_that_rounds_gives_the_value_only_where_no_other_holds_it():
    first, second, storage = Halved(), Reversed(), Storage(3)
    storage.claim(first)[:] = [1, 2, 3]
    assert list(storage.array(HOST)) == [2, 4, 6]
    storage.array(HOST)[:] = [3, 5, 7]
    storage.wrote(HOST)
    storage.array(first)
    assert list(storage.array(second)) == [7, 5, 3]


def test_the_initial_value_outlives_a_first_reader_that_rounds():
    storage = Storage(3, initial=lambda: np.array([3, 5, 7]))
    assert list(storage.array(Halved())) == [1, 2, 3]
    assert list(storage.array(HOST)) == [3, 5, 7]


class Repeated:
    """A first value that can be made again."""

    repeats = True

    def __init__(self):
        self.made = 0

    def __call__(self):
        self.made += 1
        return np.arange(3, dtype=np.float32)


def test_a_glance_at_a_value_that_can_be_made_again_keeps_nothing():
    make = Repeated()
    a = Storage(3, initial=make)
    assert np.array_equal(a.glance(), np.arange(3)) and not a.allocated
    assert np.array_equal(a.array(HOST), np.arange(3)) and make.made == 2


def test_a_glance_at_a_value_that_is_made_once_keeps_it():
    a = Storage(3, initial=lambda: np.ones(3, np.float32))
    assert a.glance() is a.array(HOST)


def test_a_glance_shows_what_was_written():
    a = Storage(3, initial=Repeated())
    a.set(np.full(3, 7, np.float32))
    assert np.array_equal(a.glance(), [7, 7, 7])
    a.clear()
    assert np.array_equal(a.glance(), [0, 0, 0])


def test_a_value_that_begins_anew_is_made_when_it_is_read():
    a, make = Storage(3), Repeated()
    a.set(np.full(3, 7, np.float32))
    version = a.version
    a.begin_with(make)
    assert a.version > version and make.made == 0
    assert np.array_equal(a.array(HOST), np.arange(3))


class InPieces(Repeated):
    """A first value of 0, 1, 2, ... that comes in pieces."""

    def pieces(self, size):
        return (np.arange(first, min(first + size, 10), dtype=np.float32) for first in range(0, 10, size))


def test_a_large_first_value_is_taken_over_in_pieces(monkeypatch):
    monkeypatch.setattr("layerforge.core.storage.LARGE", 39)
    monkeypatch.setattr("layerforge.core.storage.PIECE", 3)
    make = InPieces()
    assert np.array_equal(Storage(10, initial=make).array(HOST), np.arange(10)) and make.made == 0


def test_a_first_value_that_has_no_pieces_is_taken_over_whole(monkeypatch):
    monkeypatch.setattr("layerforge.core.storage.LARGE", 1)
    make = Repeated()
    make.pieces = lambda size: None
    assert np.array_equal(Storage(3, initial=make).array(HOST), np.arange(3)) and make.made == 1
