"""`layerforge classify`: what pictures show, by a trained net."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from layerforge.cli import options
from layerforge.cli.flags import Command, Flag, UsageError
from layerforge.cli.picture_options import (
    FLAGS,
    integers,
    load_array,
    net_files,
    picture_files,
    prepare,
    use_device,
)
from layerforge.cli.progress import track
from layerforge.core.errors import DataError, NetError
from layerforge.core.files import replacing

PICTURES_AT_ONCE = 16
IMAGENET = re.compile(r"^n\d{8} ")


def run(args: SimpleNamespace) -> int:
    """Prints the best classes of every picture; writes all predictions when an output is named."""
    from layerforge.pycaffe.classifier import Classifier

    model, weights = net_files(args)
    if args.output and not args.output.endswith(".npy"):
        raise UsageError(f"OUTPUT is a .npy file, got {args.output!r}")
    labels = read_labels(args.labels) if args.labels else []
    with options.limited(args.threads):
        use_device(args)
        net = Classifier(model, weights)
        channels = prepare(net, args)
        net.image_dims = image_dims(args.images_dim, tuple(net.crop_dims))
        rows = []
        for name, row in track(predictions(net, args, channels), "pictures", every=100):
            if labels and len(labels) != len(row):
                raise NetError(f"{args.labels} has {len(labels)} lines, the net {len(row)} classes")
            rows.append(row)
            print(best(name, row, labels, args.top))
    if args.output:
        with replacing(args.output) as path, open(path, "wb") as file:
            np.save(file, np.stack(rows))
        print(f"{args.output}: {len(rows):,} rows of {len(rows[0]):,} classes")
    return 0


def predictions(net: Any, args: SimpleNamespace, channels: int) -> Iterator[tuple[str, np.ndarray]]:
    """(name, one number per class) for every picture of a file, a folder or an array."""
    if args.input.endswith(".npy"):
        array = load_array(args.input)
        if array.ndim != 4 or array.shape[3] != channels:
            raise DataError(f"{args.input} has the shape {array.shape}, pictures are (N, height, width, {channels})")
        sources: list[Any] = [(f"{args.input}[{i}]", picture) for i, picture in enumerate(array)]
    else:
        sources = [(name, None) for name in picture_files(args.input, args.ext)]
    for at in range(0, len(sources), PICTURES_AT_ONCE):
        some = sources[at : at + PICTURES_AT_ONCE]
        pictures = [load(name, channels) if picture is None else picture for name, picture in some]
        yield from zip((name for name, _ in some), net.predict(pictures, not args.center_only))


def load(name: str, channels: int) -> np.ndarray:
    """(H, W, K) in 0 … 1, RGB or of one channel."""
    from layerforge.pycaffe.io import load_image

    if channels not in (1, 3):
        raise NetError(f"the net takes {channels} channels, pictures have 1 or 3",
                       hint="give the values as a .npy file")
    return load_image(name, color=channels == 3)


def image_dims(text: str, crop: tuple[int, ...]) -> tuple[int, ...]:
    """(height, width) that pictures are scaled to before they are cropped."""
    if not text:
        return (256, 256) if all(200 <= side <= 256 for side in crop) else crop
    sides = tuple(integers(text, "images_dim"))
    if len(sides) != 2 or any(side < least for side, least in zip(sides, crop)):
        raise UsageError(f"--images_dim takes height,width, got {text!r}",
                         hint=f"at least {crop[0]},{crop[1]}, the size of the net's input")
    return sides


def read_labels(path: str) -> list[str]:
    """A class per line; ImageNet's numbers in front are left out."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return [IMAGENET.sub("", line.strip()) for line in file if line.strip()]
    except OSError as error:
        raise DataError(f"the labels {path!r} cannot be read: {error.strerror}") from None


def best(name: str, row: np.ndarray, labels: Sequence[str], top: int) -> str:
    """The picture and its best classes, as Caffe's classification example prints them."""
    order = np.argsort(-row, kind="stable")[:top]
    lines = (f'{row[i]:.4f} - "{labels[i] if labels else i}"' for i in order)
    return "\n".join([f"---------- Prediction for {name} ----------", *lines])


command = Command(
    "classify", "says what pictures show, by a trained net", run,
    (*FLAGS, Flag("labels", str, "", "names of the classes, a line each", "FILE"),
     Flag("top", int, 5, "how many classes are printed for a picture", "N", least=1),
     Flag("center_only", bool, False, "takes the centre of a picture, not the mean over ten crops"),
     Flag("images_dim", str, "", "height,width that pictures are scaled to before cropping; without it 256,256 for "
                                 "nets of 200 to 256 pixels, else the net's size", "H,W"),
     Flag("ext", str, "", "the ending of a folder's pictures; without it, all kinds", "EXT")),
    arguments=("INPUT", "[OUTPUT]"),
    details=("INPUT is a picture, a folder, or a .npy of (N, height, width, channels) in 0 … 1. OUTPUT.npy gets a row\n"
             "per picture, a column per class."),
    examples=(("layerforge classify --model deploy.prototxt --weights caffenet.caffemodel --mean_value 104,117,123 "
               "--labels synset_words.txt cat.jpg", "the five best classes"),
              ("layerforge classify --model deploy.prototxt --weights lenet.caffemodel --raw_scale 1 --top 1 digits/",
               "the best class of every picture in a folder")),
)
