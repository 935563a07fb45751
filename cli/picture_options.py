"""What `classify` and `detect` share: a net for pictures, and how pictures are prepared for it."""

from __future__ import annotations

import os
from tokenize import TokenError
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from layerforge.cli import options
from layerforge.cli.flags import Flag, UsageError
from layerforge.core.errors import DataError, NetError, did_you_mean

if TYPE_CHECKING:
    from layerforge.pycaffe.classifier import PictureNet

SWAP = "2,1,0"
FLAGS = (
    Flag("model_def", str, "", "the net's deploy.prototxt, also --model", "FILE"),
    Flag("pretrained_model", str, "", "its weights, also --weights", "FILE"),
    options.MODEL, options.WEIGHTS, options.GPU, options.THREADS,
    Flag("mean_file", str, "", "the mean picture: .binaryproto, or .npy of (channels, height, width)", "FILE"),
    Flag("mean_value", str, "", "the mean of each channel instead, with commas: 104,117,123", "NUMBERS"),
    Flag("input_scale", float, None, "what values are multiplied by at the end", "X"),
    Flag("raw_scale", float, 255.0, "what pixels 0 … 1 are multiplied by before the mean is subtracted", "X"),
    Flag("channel_swap", str, SWAP, "the order of channels; 2,1,0 makes BGR of RGB", "ORDER"),
    Flag("blob", str, "", "the blob that is taken; without it, the net's first output", "NAME"),
)


def net_files(args: SimpleNamespace) -> tuple[str, str]:
    """The net and its weights, under Caffe's flags of either kind."""
    model = options.need(args.model_def or args.model, "model", "the net's deploy.prototxt")
    return model, options.need(args.pretrained_model or args.weights, "weights", "the trained weights")


def use_device(args: SimpleNamespace) -> None:
    """Nets of the facade run where --gpu says."""
    from layerforge.pycaffe import modes

    if args.gpu:
        modes.set_device(options.backend(args.gpu).device)
        modes.set_mode_gpu()
    else:
        modes.set_mode_cpu()


def prepare(net: PictureNet, args: SimpleNamespace) -> int:
    """Sets mean, scales, order of channels and output of a net from the flags; returns the channels of its input."""
    name = net.inputs[0]
    channels = net.blobs[name].shape[1]
    if channels > 1 and args.channel_swap and (channels == 3 or args.channel_swap != SWAP):
        swap = integers(args.channel_swap, "channel_swap")
        if sorted(swap) != list(range(channels)):
            raise UsageError(f"--channel_swap {args.channel_swap} is no order of {channels} channels")
        net.transformer.set_channel_swap(name, swap)
    mean = mean_of(args)
    if mean is not None:
        mean = np.repeat(mean, channels) if mean.shape == (1,) else mean
        if len(mean) != channels:
            raise NetError(f"the mean has {len(mean)} channels, the input of the net {channels}")
        net.transformer.set_mean(name, mean)
    for value, setter in ((args.raw_scale, net.transformer.set_raw_scale),
                          (args.input_scale, net.transformer.set_input_scale)):
        if value is not None:
            setter(name, value)
    if args.blob:
        if args.blob not in net.blobs:
            raise NetError(f"there is no blob {args.blob!r} in the net", hint=did_you_mean(args.blob, net.blobs))
        net.outputs = [args.blob]
    return channels


def mean_of(args: SimpleNamespace) -> np.ndarray | None:
    """(C, H, W) or (C,), or None.

    Raises DataError when the file is no mean.
    """
    if args.mean_file and args.mean_value:
        raise UsageError("--mean_file and --mean_value exclude each other")
    if args.mean_value:
        return np.array(numbers(args.mean_value, "mean_value"), np.float32)
    if not args.mean_file:
        return None
    if not args.mean_file.endswith(".npy"):
        from layerforge.io.mean import read_mean

        return read_mean(args.mean_file)
    mean = load_array(args.mean_file)
    if mean.ndim not in (1, 3):
        raise DataError(f"{args.mean_file} has the shape {mean.shape}",
                        hint="a mean is (channels, height, width) or (channels,)")
    return mean


def load_array(path: str) -> np.ndarray:
    """The numbers of a .npy file; nothing in it is run.

    Raises DataError when it is none.
    """
    try:
        values = np.load(path, allow_pickle=False, mmap_mode="r")  # the file's size bounds what is taken
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, SyntaxError, TypeError, TokenError, OverflowError):  # what damaged headers raise
        raise DataError(f"{path} is no .npy file of numbers, or cut off") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        raise DataError(f"{path} is no .npy file of numbers")
    return np.array(values, np.float32)


def integers(text: str, flag: str) -> list[int]:
    """Whole numbers with commas; none for an empty text."""
    return [int(value) for value in numbers(text, flag)]


def numbers(text: str, flag: str) -> list[float]:
    """Numbers with commas."""
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UsageError(f"--{flag} takes numbers with commas, got {text!r}") from None


def picture_files(path: str, extension: str = "") -> list[str]:
    """The file itself, or the pictures of a folder in the order of their names.

    Raises DataError when there is none.
    """
    from layerforge.data.convert import ENDINGS

    path = os.path.expanduser(path)
    if not os.path.isdir(path):
        return [path]
    endings = (f".{extension.lstrip('.').lower()}",) if extension else ENDINGS
    found = sorted(os.path.join(path, name) for name in os.listdir(path) if name.lower().endswith(endings))
    if not found:
        raise DataError(f"the folder {path!r} has no pictures ({', '.join(endings)})")
    return found
