"""nvImageCodec: JPEG pictures decoded by the GPU, hardware first. Loaded when a net wants it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from layerforge.backends.cupy.pictures import Lot, Picture
from layerforge.core.errors import DeviceError

INSTALL = "pip install 'layerforge[gpu-io]'"
OPTIONS = ":fancy_upsampling=1"  # colours between their samples are interpolated, as on the CPU
SETS = 8  # lots whose memory is kept to be used again


def load_codec() -> Any:
    """The module nvimgcodec.

    Raises DeviceError when it is not installed or cannot be loaded.
    """
    try:
        from nvidia import nvimgcodec
    except ModuleNotFoundError:
        raise DeviceError("nvidia-nvimgcodec-cu13 is not installed", hint=INSTALL) from None
    except Exception as error:  # it raises what its broken libraries raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DeviceError(f"nvidia-nvimgcodec-cu13 cannot be loaded: {reason}", hint=INSTALL) from error
    return nvimgcodec


def open_codec(cupy: Any, number: int, main: Any) -> NvImageCodec:
    """The codec of one GPU, on a stream of its own.

    main  the stream of the computation
    Raises DeviceError when it cannot be had.
    """
    module = load_codec()
    kinds = module.HW_GPU_ONLY, module.GPU_ONLY, module.HYBRID_CPU_GPU  # what these cannot do, our CPU decoder does
    with cupy.cuda.Device(number):
        stream = cupy.cuda.Stream(non_blocking=True)
    try:
        decoder = module.Decoder(device_id=number, backends=[module.Backend(k) for k in kinds], options=OPTIONS)
    except Exception as error:
        raise DeviceError(f"nvImageCodec refuses this GPU: {error}", hint=INSTALL) from error
    return NvImageCodec(module, decoder, cupy, number, stream, main)


def cpu_decoder(module: Any) -> Any:
    """A decoder that needs no GPU, for tests: the same library, with pictures in the host's memory."""
    return module.Decoder(
        device_id=module.NVIMGCODEC_DEVICE_CPU_ONLY, max_num_cpu_threads=1, backends=[module.Backend(module.CPU_ONLY)],
        options=OPTIONS,
    )


class NvImageCodec:
    """cupy, number   the device; None where pictures lie in the host's memory
    stream, main   what it decodes on, and what reads the pictures
    """

    def __init__(
        self, module: Any, decoder: Any, cupy: Any = None, number: int = 0, stream: Any = None, main: Any = None
    ) -> None:
        self._module, self._decoder = module, decoder
        self._cupy, self._number, self._stream, self._main = cupy, number, stream, main
        self._spare: list[tuple[list[Any], Any]] = []  # pictures whose memory may be used again, after an event

    def decode(self, pictures: Sequence[bytes], oriented: bool) -> Lot:
        streams, reasons = zip(*map(self._look, pictures))
        lot = Lot([None] * len(pictures), list(reasons))
        wanted = [i for i, why in enumerate(reasons) if not why]
        images: list[Any] = []
        if wanted:
            with self._here():
                images, why = self._images([streams[i] for i in wanted], oriented)
        for i, image in zip(wanted, images):
            lot.pictures[i] = None if image is None else _picture(image)
            lot.reasons[i] = "" if image is not None else f"nvImageCodec cannot decode it{why}"
        there = self._stream.record() if self._stream is not None else None
        lot.wait, lot.free = partial(self._wait, there), partial(self._free, lot, images)
        return lot

    def refuses(self, picture: bytes) -> str:
        return self._look(picture)[1]

    def upload(self, pixels: np.ndarray) -> tuple[int, Any]:
        if self._cupy is None:
            return int(pixels.ctypes.data), pixels
        with self._here():
            held = self._cupy.asarray(pixels)
            self._stream.synchronize()
        return int(held.data.ptr), held

    def _look(self, data: bytes) -> tuple[Any, str]:
        """The picture's header, and why the device does not decode it."""
        try:
            stream = self._module.CodeStream(data)
            kind, channels, bits = stream.codec_name, stream.num_channels, stream.precision
        except RuntimeError:
            return None, "nvImageCodec does not know its format"
        if kind != "jpeg":
            return stream, f"it is a {kind}, the GPU decodes jpeg"
        if channels != 3:
            return stream, "it is grey" if channels == 1 else f"it has {channels} channels"
        return stream, f"it has {bits} bits per channel" if bits > 8 else ""

    def _images(self, streams: list[Any], oriented: bool) -> tuple[list[Any], str]:
        """As nvImageCodec gives them, None for what it cannot decode; and what it says."""
        module = self._module
        how = module.DecodeParams(apply_exif_orientation=oriented, color_spec=module.SRGB, sample_format=module.I_RGB)
        named: dict[str, Any] = {"params": how}
        if self._stream is not None:
            named["cuda_stream"] = self._stream.ptr
        kept = self._kept(len(streams))
        if kept is not None:
            named["images"] = kept
        try:
            return list(self._decoder.decode(streams, **named)), ""
        except RuntimeError as error:  # the library or the device failed; the CPU does it
            return [None] * len(streams), f": {error}"

    def _kept(self, count: int) -> list[Any] | None:
        """Pictures of an earlier lot, once nothing reads them any more."""
        for k, (images, event) in enumerate(self._spare):
            if len(images) == count:
                del self._spare[k]
                if event is not None:
                    event.synchronize()
                return images
        return None

    def _wait(self, there: Any) -> None:
        if self._main is not None:
            self._main.wait_event(there)

    def _free(self, lot: Lot, images: list[Any]) -> None:
        """Keeps the pictures' memory for another lot. Other memory goes with the lot, so nothing may read it then."""
        whole = None not in images and not lot.held and len(self._spare) < SETS
        if whole:
            self._spare.append((images, self._main.record() if self._main is not None else None))
        elif self._main is not None:
            self._main.synchronize()

    @contextlib.contextmanager
    def _here(self) -> Iterator[None]:
        """The device and the stream, for the thread that calls."""
        if self._cupy is None:
            yield
            return
        with self._cupy.cuda.Device(self._number), self._stream:
            yield


def _picture(image: Any) -> Picture:
    about = image.__array_interface__ if image.device_id is None else image.__cuda_array_interface__
    height, width, channels = image.shape
    return Picture(int(about["data"][0]), int(image.strides[0]), (channels, height, width), rgb=True)
