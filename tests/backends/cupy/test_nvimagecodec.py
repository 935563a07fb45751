"""nvImageCodec: what it decodes and what it leaves to the CPU, by the library itself where it is installed (its CPU
backend needs no GPU); and the order of work on a GPU, by a fake of both."""

import struct
import sys
import types

import cv2
import numpy as np
import pytest
from picture_device import compressed, picture

from layerforge.backends.cupy import nvimagecodec
from layerforge.backends.cupy.nvimagecodec import NvImageCodec, load_codec, open_codec
from layerforge.core.errors import DeviceError

SAMPLING = int(cv2.IMWRITE_JPEG_SAMPLING_FACTOR)
KINDS = {
    "420": [],
    "422": [SAMPLING, int(cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422)],
    "444": [SAMPLING, int(cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)],
    "progressive": [int(cv2.IMWRITE_JPEG_PROGRESSIVE), 1],
}


@pytest.fixture(scope="module")
def codec():
    try:
        module = load_codec()
    except DeviceError as error:
        pytest.skip(f"the library itself cannot be tried: {error.message}")
    return NvImageCodec(module, nvimagecodec.cpu_decoder(module))


def pixels_of(lot, index):
    """(H, W, 3) in Caffe's order of colours."""
    found = lot.pictures[index]
    channels, height, width = found.shape
    room = (np.ctypeslib.ctypes.c_uint8 * (found.pitch * height)).from_address(found.address)
    rows = np.frombuffer(room, np.uint8).reshape(height, found.pitch)[:, : width * channels]
    return rows.reshape(height, width, channels)[:, :, :: -1 if found.rgb else 1]


def opencv(data, flag=cv2.IMREAD_COLOR):
    return cv2.imdecode(np.frombuffer(data, np.uint8), flag)


def turned(data, orientation):
    """The JPEG with a note of how the camera was held."""
    tag = struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)
    note = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + tag + struct.pack("<I", 0)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + data[2:]


@pytest.mark.parametrize("kind", KINDS)
def test_library_decodes_as_opencv_does(codec, kind):
    pictures = [cv2.imencode(".jpg", picture(33, 45 + i, i), KINDS[kind])[1].tobytes() for i in range(3)]
    lot = codec.decode(pictures, oriented=True)
    assert lot.reasons == ["", "", ""]
    for i, data in enumerate(pictures):
        np.testing.assert_array_equal(pixels_of(lot, i), opencv(data))


@pytest.mark.parametrize("oriented", [True, False])
def test_library_turns_pictures_when_opencv_does(codec, oriented):
    data = turned(compressed(picture(20, 30)), 6)
    lot = codec.decode([data], oriented)
    want = opencv(data, cv2.IMREAD_COLOR if oriented else cv2.IMREAD_UNCHANGED)
    assert want.shape[0] == (30 if oriented else 20)
    np.testing.assert_array_equal(pixels_of(lot, 0), want)


def test_library_says_what_it_leaves_to_the_cpu(codec):
    good = compressed(picture(16, 16))
    pictures = [compressed(picture(16, 16), ".png"), good, compressed(picture(16, 16)[:, :, 0]), b"nonsense"]
    lot = codec.decode(pictures, oriented=True)
    assert lot.reasons == [
        "it is a png, the GPU decodes jpeg", "", "it is grey", "nvImageCodec does not know its format",
    ]
    assert [found is None for found in lot.pictures] == [True, False, True, True]
    assert codec.refuses(good) == "" and "png" in codec.refuses(pictures[0])


def test_library_uses_the_memory_of_a_lot_that_was_freed(codec):
    codec._spare.clear()
    first = codec.decode([compressed(picture(30, 30, i)) for i in range(2)], oriented=True)
    places = [found.address for found in first.pictures]
    first.wait()
    first.free()
    again = [compressed(picture(28, 30, i)) for i in range(2)]
    second = codec.decode(again, oriented=True)
    assert [found.address for found in second.pictures] == places
    np.testing.assert_array_equal(pixels_of(second, 1), opencv(again[1]))
    assert not codec._spare


def test_missing_library_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "nvidia", None)
    with pytest.raises(DeviceError, match="nvidia-nvimgcodec-cu13 is not installed") as caught:
        load_codec()
    assert "gpu-io" in caught.value.hint


class FakeGpu:
    """nvimgcodec and cupy on a GPU, as a log of what is asked of them."""

    HW_GPU_ONLY, GPU_ONLY, HYBRID_CPU_GPU, SRGB, I_RGB = "hardware", "gpu", "hybrid", "srgb", "rgb"

    def __init__(self):
        self.log, self.events, self.fails = [], 0, False
        self.cuda = types.SimpleNamespace(Device=self.device, Stream=lambda non_blocking: FakeStream(self, "decode"))

    def device(self, number):
        return FakeContext(self, f"device {number}")

    def asarray(self, pixels):
        return types.SimpleNamespace(data=types.SimpleNamespace(ptr=4096), pixels=pixels)

    def Backend(self, kind):
        return kind

    def Decoder(self, device_id, backends, options):
        self.made = device_id, backends, options
        return self

    def DecodeParams(self, **named):
        return named

    def CodeStream(self, data):
        return types.SimpleNamespace(codec_name="jpeg", num_channels=3, precision=8)

    def decode(self, streams, params, cuda_stream, images=None):
        self.log.append(f"decode {len(streams)} on {cuda_stream}" + (" again" if images else ""))
        if self.fails:
            raise RuntimeError("out of memory")
        about = {"data": (1 << 20, False)}
        image = types.SimpleNamespace(shape=(4, 5, 3), strides=(512, 3, 1), device_id=0, __cuda_array_interface__=about)
        return images or [image] * len(streams)


class FakeContext:
    def __init__(self, gpu, name):
        self.gpu, self.name = gpu, name

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False


class FakeStream(FakeContext):
    @property
    def ptr(self):
        return self.name

    def record(self):
        self.gpu.events += 1
        event = f"event {self.gpu.events} of {self.name}"
        self.gpu.log.append(event)
        return types.SimpleNamespace(name=event, synchronize=lambda: self.gpu.log.append(f"host waits for {event}"))

    def wait_event(self, event):
        self.gpu.log.append(f"{self.name} waits for {event.name}")

    def synchronize(self):
        self.gpu.log.append(f"host waits for {self.name}")


@pytest.fixture
def gpu(monkeypatch):
    made = FakeGpu()
    monkeypatch.setattr(nvimagecodec, "load_codec", lambda: made)
    return made


def test_gpu_decodes_on_a_stream_of_its_own_and_the_computation_waits(gpu):
    codec = open_codec(gpu, 2, FakeStream(gpu, "main"))
    assert gpu.made == (2, ["hardware", "gpu", "hybrid"], ":fancy_upsampling=1")
    lot = codec.decode([b"1", b"2"], oriented=True)
    lot.wait()
    lot.free()
    assert lot.pictures[0] == (1 << 20, 512, (3, 4, 5), True)
    assert gpu.log == ["decode 2 on decode", "event 1 of decode", "main waits for event 1 of decode", "event 2 of main"]


def test_memory_is_used_again_when_the_computation_has_read_it(gpu):
    codec = open_codec(gpu, 0, FakeStream(gpu, "main"))
    codec.decode([b"1", b"2"], oriented=True).free()
    codec.decode([b"1"], oriented=True)
    codec.decode([b"1", b"2"], oriented=True)
    assert gpu.log[-3:] == ["host waits for event 2 of main", "decode 2 on decode again", "event 4 of decode"]


def test_memory_from_the_host_stays_until_the_computation_is_done(gpu):
    codec = open_codec(gpu, 0, FakeStream(gpu, "main"))
    lot = codec.decode([b"1"], oriented=True)
    address, held = codec.upload(np.zeros((2, 2, 3), np.uint8))
    lot.held.append(held)
    lot.free()
    assert address == 4096 and gpu.log[-1] == "host waits for main" and not codec._spare


def test_failing_library_leaves_the_batch_to_the_cpu(gpu):
    codec = open_codec(gpu, 0, FakeStream(gpu, "main"))
    gpu.fails = True
    lot = codec.decode([b"1", b"2"], oriented=True)
    assert lot.reasons == ["nvImageCodec cannot decode it: out of memory"] * 2 and lot.pictures == [None, None]


def test_gpu_that_the_library_refuses_is_said(gpu, monkeypatch):
    def refuse(**named):
        raise RuntimeError("no such device")

    monkeypatch.setattr(gpu, "Decoder", refuse)
    with pytest.raises(DeviceError, match="nvImageCodec refuses this GPU: no such device"):
        open_codec(gpu, 0, None)
