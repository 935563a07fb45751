"""Layouts convert exactly, pad with zeros, and are one object each."""

import numpy as np
import pytest

from layerforge.core.errors import DeviceError
from layerforge.core.storage import HOST, Storage

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

from layerforge.engines.onednn.layout import LayoutFactory

BLOCKED, CHANNELS_LAST, WEIGHTS = 78, 22, 79  # format tags aBcd16b, acdb, ABcd16b16a
SHAPE = (2, 20, 5, 4)


@pytest.fixture
def layouts():
    return LayoutFactory(load())


@pytest.fixture
def values(rng=np.random.default_rng(1)):
    return rng.standard_normal(SHAPE).astype(np.float32)


def test_equal_descriptors_are_one_layout(layouts):
    assert layouts.tagged(SHAPE, BLOCKED) is layouts.tagged(SHAPE, BLOCKED)


def test_plain_layout_is_the_hosts(layouts):
    assert layouts.plain(SHAPE).representation is HOST
    assert layouts.tagged(SHAPE, BLOCKED).representation is not HOST


def test_channels_last_of_one_pixel_is_plain(layouts):
    assert layouts.tagged((2, 20, 1, 1), CHANNELS_LAST).is_plain


def test_names_are_onednns(layouts):
    assert [layouts.tagged(SHAPE, tag).name for tag in (BLOCKED, CHANNELS_LAST)] == ["aBcd16b", "acdb"]


@pytest.mark.parametrize("tag", [BLOCKED, CHANNELS_LAST])
def test_values_survive_the_way_there_and_back(layouts, values, tag):
    storage, layout = Storage(values.size), layouts.tagged(SHAPE, tag)
    storage.set(values)
    storage.array(layout)
    storage.wrote(layout)
    assert np.array_equal(storage.array(HOST), values.ravel())


def test_blocked_padding_is_zero(layouts, values):
    storage, layout = Storage(values.size), layouts.tagged(SHAPE, BLOCKED)
    storage.set(values)
    blocked = storage.array(layout).reshape(2, 2, 5, 4, 16)
    assert (blocked[:, 1, :, :, 4:] == 0).all()


def test_two_layouts_convert_directly(layouts, values):
    storage, one, other = Storage(values.size), layouts.tagged(SHAPE, BLOCKED), layouts.tagged(SHAPE, CHANNELS_LAST)
    storage.set(values)
    storage.array(one)
    storage.wrote(one)
    before = layouts.conversions
    got = storage.array(other).reshape(2, 5, 4, 20)
    assert layouts.conversions == before + 1
    assert np.array_equal(got, values.transpose(0, 2, 3, 1))


def test_the_same_memory_in_another_shape_goes_through_plain_order(layouts, values):
    storage, picture = Storage(values.size), layouts.tagged(SHAPE, BLOCKED)
    flat = layouts.tagged((2, 20 * 20), 3)  # tag ab
    storage.set(values)
    storage.array(picture)
    storage.wrote(picture)
    assert flat.representation is HOST
    assert np.array_equal(storage.array(flat.representation), values.ravel())


def test_arrays_start_on_a_cache_line(layouts):
    assert Storage(800).array(layouts.tagged(SHAPE, BLOCKED)).ctypes.data % 64 == 0


@pytest.mark.parametrize("tag", [WEIGHTS, CHANNELS_LAST, BLOCKED])
def test_rows_taken_over_in_pieces_are_those_of_the_whole(layouts, monkeypatch, tag):
    monkeypatch.setattr("layerforge.engines.onednn.layout.PIECE", 1700)  # 16 rows of 108 numbers fit, no two times 16
    shape = (48, 12, 3, 3)
    layout = layouts.tagged(shape, tag)
    given, sizes = np.random.default_rng(2).standard_normal(shape).astype(np.float32), []

    def pieces(size):
        sizes.append(size)
        return (given.reshape(-1)[first : first + size] for first in range(0, given.size, size))

    whole, target = layout.zeros(given.size, np.float32), layout.zeros(given.size, np.float32)
    layout.from_host(given.reshape(-1), whole)
    assert layout.from_pieces(pieces, target) and sizes[0] < given.size
    assert np.array_equal(whole, target)


def test_rows_that_do_not_fill_a_block_are_taken_over_whole(layouts):
    layout = layouts.tagged((20, 12, 3, 3), WEIGHTS)
    assert not layout.from_pieces(lambda size: iter(()), layout.zeros(0, np.float32))
