"""One kernel crops, mirrors, subtracts, scales and turns over what the transformer does on the CPU, to the last bit."""

import itertools

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from picture_device import OpenCvCodec, picture_device

from layerforge.backends.cupy.layout import ChannelsLast, form_of
from layerforge.backends.cupy.pictures import Lot
from layerforge.core.errors import DeviceError
from layerforge.core.random import Random
from layerforge.data.transform import Transformer, TransformParams
from layerforge.netdef.types import Phase
from layerforge.testing.harness import layer_fields

SIZE = 11, 13
MEANS = {
    "none": ({}, None),
    "one": ({"mean_value": [17.5]}, None),
    "each": ({"mean_value": [104.0, 117.0, 123.0]}, None),
    "picture": ({"mean_file": "mean.binaryproto"}, (3, *SIZE)),
}


@pytest.fixture
def device():
    needs_compiler()
    made = picture_device()
    assert made.pictures.why_not() == ""
    return made


def transformer_of(fields, phase, dtype, mean=None):
    params = TransformParams.from_layer(layer_fields(TransformParams, fields), "layer", None)
    return Transformer(params, phase, Random(3).stream("transform"), mean, dtype)


def lot_of(pixels, rgb):
    """Pictures (H, W, C) on the device: as decoders leave them, or put there from the host."""
    lot = Lot([None] * len(pixels), [""] * len(pixels))
    for i, x in enumerate(pixels):
        if rgb:
            lot.pictures[i] = OpenCvCodec.put(x, lot)
    return lot


def on_device(device, transformer, pixels, dtype, rgb, form=None, target=None):
    pictures = device.pictures
    lot = lot_of(pixels, rgb)
    for i, x in enumerate(pixels):
        if not rgb:
            pictures.put(lot, i, x)
    shape = transformer.shape(*lot.pictures[0].shape)
    cuts = np.array([transformer.draw(5 + i, p.shape[1] - shape[1], p.shape[2] - shape[2])
                     for i, p in enumerate(lot.pictures)])
    full = len(pixels), *shape
    out = np.full(full, np.nan, dtype) if target is None else target
    mean = None if transformer.mean is None else transformer.mean
    pictures.transform(lot, cuts, full, out, mean=mean, scale=transformer.params.scale, form=form, dtype=dtype)
    return out


def on_host(transformer, pixels, dtype):
    shape = transformer.shape(*pixels[0].transpose(2, 0, 1).shape)
    out = np.empty((len(pixels), *shape), dtype)
    for i, x in enumerate(pixels):
        transformer.image(x, 5 + i, out[i])
    return out


OPTIONS = list(itertools.product(MEANS, (0, 7), (False, True), (1.0, 0.00390625, 0.017), (Phase.TRAIN, Phase.TEST)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rgb", [True, False], ids=["decoded", "put"])
def test_kernel_does_what_the_transformer_does_with_every_option(device, dtype, rgb):
    rng = np.random.default_rng(1)
    pixels = [rng.integers(0, 256, (*SIZE, 3), np.uint8) for _ in range(6)]
    for mean, crop, mirror, scale, phase in OPTIONS:
        fields, shape = MEANS[mean]
        picture = None if shape is None else rng.uniform(0, 255, shape)
        fields = {**fields, "crop_size": crop, "mirror": mirror, "scale": scale}
        transformer = transformer_of(fields, phase, dtype, picture)
        got, want = on_device(device, transformer, pixels, dtype, rgb), on_host(transformer, pixels, dtype)
        np.testing.assert_array_equal(got, want, err_msg=f"{mean} {crop} {mirror} {scale} {phase}")


def test_pictures_of_a_batch_may_differ_in_size(device):
    rng = np.random.default_rng(2)
    pixels = [rng.integers(0, 256, (9 + i, 20 - i, 3), np.uint8) for i in range(5)]
    transformer = transformer_of({"crop_size": 8, "mirror": True}, Phase.TRAIN, np.float32)
    np.testing.assert_array_equal(
        on_device(device, transformer, pixels, np.float32, True), on_host(transformer, pixels, np.float32)
    )


def test_grey_pictures_keep_their_channel(device):
    pixels = [np.random.default_rng(3).integers(0, 256, (6, 7, 1), np.uint8) for _ in range(3)]
    transformer = transformer_of({"mean_value": [3.0]}, Phase.TEST, np.float32)
    got = on_device(device, transformer, pixels, np.float32, rgb=False)
    np.testing.assert_array_equal(got, on_host(transformer, pixels, np.float32))


@pytest.mark.parametrize("kind, dtype", [("FP32", np.float32), ("BF16", np.uint16), ("FP16", np.float16)])
@pytest.mark.parametrize("padded", [3, 4])
def test_channels_last_is_written_as_the_layout_packs_it(device, kind, dtype, padded):
    rng = np.random.default_rng(4)
    pixels = [rng.integers(0, 256, (*SIZE, 3), np.uint8) for _ in range(4)]
    transformer = transformer_of({"crop_size": 9, "mirror": True, "mean_value": [9.5], "scale": 0.013}, Phase.TRAIN,
                                 np.float32)
    plain = on_host(transformer, pixels, np.float32)
    form = form_of(plain.shape, kind, padded)
    want, got = np.zeros(form.count, dtype), np.full(form.count, 7, dtype)
    ChannelsLast(form, device.representation, device.ops.kernels).pack(plain.reshape(-1), want)
    on_device(device, transformer, pixels, np.float32, True, form, got)
    np.testing.assert_array_equal(got, want)


def test_lot_is_waited_for_and_given_back_behind_the_kernel(device):
    lot, log = lot_of([np.zeros((4, 4, 3), np.uint8)], True), []
    launch = device.ops.kernels.launch
    device.ops.kernels.launch = lambda *a, **k: (log.append("kernel"), launch(*a, **k))
    lot.wait, lot.free = lambda: log.append("wait"), lambda: log.append("free")
    device.pictures.transform(lot, np.zeros((1, 3), int), (1, 3, 4, 4), np.empty((1, 3, 4, 4), np.float32))
    assert log == ["wait", "kernel", "free"]


def test_missing_codec_is_a_reason_asked_for_once():
    asked = []
    device = picture_device()

    def opening():
        asked.append(1)
        raise DeviceError("it is not installed", hint="pip install it")

    device.pictures._opening = opening
    assert [device.pictures.why_not() for _ in range(2)] == ["it is not installed (pip install it)"] * 2
    assert len(asked) == 1
