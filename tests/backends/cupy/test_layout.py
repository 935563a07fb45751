"""Channels last and 16-bit numbers: every number comes back, rounded as NumPy rounds."""

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from tape import TapeBackend

from layerforge.backends.cupy.layout import ChannelsLast, Form, form_of
from layerforge.core.storage import HOST, Storage

SHAPES = [(2, 3, 5, 7), (1, 40, 6, 6), (3, 33, 1, 1), (2, 1, 33, 2)]


@pytest.fixture
def device():
    needs_compiler()
    return TapeBackend()


def layout(device, form):
    return ChannelsLast(form, device.representation, device.ops.kernels)


def bfloat16(x):
    """x rounded to nearest, as the upper halves of its bits."""
    bits = x.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16).astype(np.uint16)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["FP32", "BF16", "FP16"])
def test_values_are_turned_over_and_come_back(device, shape, kind):
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    form = form_of(shape, kind, padded=-(-shape[1] // 4) * 4)
    storage = Storage(x.size)
    storage.set(x)
    storage.array(device.representation)
    packed = storage.array(layout(device, form)).reshape(shape[0], -1, form.padded)
    want = np.moveaxis(x.reshape(*shape[:2], -1), 1, 2)
    rounded = {"FP32": want, "BF16": bfloat16(want), "FP16": want.astype(np.float16)}[kind]
    np.testing.assert_array_equal(np.asarray(packed)[..., : shape[1]], rounded)
    assert not np.asarray(packed)[..., shape[1] :].any()


@pytest.mark.parametrize("kind", ["FP32", "BF16", "FP16"])
def test_value_written_in_the_layout_is_read_in_plain_order(device, kind):
    x = np.random.default_rng(2).standard_normal((2, 5, 3, 4)).astype(np.float32)
    one, other = layout(device, form_of(x.shape, kind, 8)), layout(device, form_of(x.shape, "FP32"))
    storage = Storage(x.size)
    storage.set(x)
    storage.wrote(one)  # the layout's copy is the newest now
    rtol = {"FP32": 0, "BF16": 2**-8, "FP16": 2**-11}[kind]
    for representation in (other, device.representation, HOST):
        values = np.asarray(storage.array(representation))
        values = values if representation is not other else np.moveaxis(values.reshape(2, 12, 5), 1, 2)
        np.testing.assert_allclose(values.reshape(x.shape), x, rtol=rtol)


@pytest.mark.parametrize("bits", [range(0, 1 << 16, 7)])
def test_every_half_survives(device, bits):
    halves = np.array(bits, np.uint16).view(np.float16)
    form = Form(1, 1, halves.size, 1, "FP16")
    plain = np.empty(halves.size, np.float32)
    layout(device, form).unpack(halves, plain)
    np.testing.assert_array_equal(plain, halves.astype(np.float32))
    back = np.empty_like(halves)
    layout(device, form).pack(plain, back)
    np.testing.assert_array_equal(back, halves)


def test_rounding_to_half_is_that_of_numpy(device):
    rng = np.random.default_rng(3)
    x = (rng.standard_normal(4000) * 2.0 ** rng.integers(-30, 20, 4000)).astype(np.float32)
    x[:4] = 65504, 65519.9, 65520, np.inf
    packed = np.empty(x.size, np.float16)
    layout(device, Form(1, 1, x.size, 1, "FP16")).pack(x, packed)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(packed, x.astype(np.float16))


def test_gradients_are_added_in_plain_order(device):
    packed, plain = np.arange(8, dtype=np.float32), np.ones(6, np.float32)
    layout(device, Form(1, 3, 2, 4, "FP32")).unpack(packed, plain, add=True)
    assert plain.tolist() == [1, 5, 2, 6, 3, 7]


@pytest.mark.parametrize("have, want", [("FP32", "BF16"), ("BF16", "FP32"), ("FP16", "BF16")])
def test_kinds_of_one_order_change_without_turning_over(device, have, want, monkeypatch):
    x = np.random.default_rng(2).standard_normal((2, 5, 3, 4)).astype(np.float32)
    one, other = layout(device, form_of(x.shape, have, 8)), layout(device, form_of(x.shape, want, 8))
    storage = Storage(x.size)
    storage.set(x)
    storage.wrote(one)
    monkeypatch.setattr(one, "unpack", None)
    assert other.convert(one, storage.array(one), storage.array(other))
    monkeypatch.undo()
    plain = np.empty(x.size, np.float32)
    other.unpack(storage.array(other), plain)
    np.testing.assert_allclose(plain, x.reshape(-1), rtol=2**-7)
