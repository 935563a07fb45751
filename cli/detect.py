"""`layerforge detect`: a trained net's predictions for windows of pictures, as in R-CNN."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np

from layerforge.cli import options
from layerforge.cli.flags import Command, Flag, UsageError
from layerforge.cli.picture_options import FLAGS, net_files, prepare, use_device
from layerforge.cli.progress import track
from layerforge.core.errors import DataError, NetError
from layerforge.core.files import replacing

SIDES = ("ymin", "xmin", "ymax", "xmax")
Found = list[tuple[str, np.ndarray, np.ndarray]]
"""(picture, window in the order of SIDES, one number per class)"""


def run(args: SimpleNamespace) -> int:
    """Writes the predictions of all windows."""
    if not args.output_file.endswith((".csv", ".h5", ".hdf5")):
        raise UsageError(f"OUTPUT_FILE is a .csv or .h5 file, got {args.output_file!r}")
    if args.crop_mode == "selective_search" or not args.input_file.endswith(".csv"):
        raise UsageError("selective search is not built in, so the windows must be given",
                         hint=f"INPUT_FILE is a .csv with the columns filename, {', '.join(SIDES)}")
    model, weights = net_files(args)
    windows = read_windows(args.input_file)
    with options.limited(args.threads):
        found = list(track(detections(args, model, weights, windows), "windows", sum(map(len, windows.values())), 100))
    write = _write_csv if args.output_file.endswith(".csv") else _write_hdf5
    write(args.output_file, found)
    print(f"{args.output_file}: {len(found):,} windows of {len(windows):,} pictures")
    return 0


def read_windows(path: str) -> dict[str, list[list[int]]]:
    """Picture → its windows (ymin, xmin, ymax, xmax), from a table with a header.

    Raises DataError with the line of what is wrong.
    """
    windows: dict[str, list[list[int]]] = {}
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = [name for name in ("filename", *SIDES) if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: the column {missing[0]!r} is missing",
                                hint=f"the first line names the columns filename, {', '.join(SIDES)}")
            for row in reader:
                windows.setdefault(row["filename"], []).append(_window(row, f"{path}:{reader.line_num}"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except csv.Error as error:
        raise DataError(f"{path} is no table: {error}") from None
    if not windows:
        raise DataError(f"{path} has no windows")
    return windows


def _window(row: dict[str, str], where: str) -> list[int]:
    try:
        y0, x0, y1, x1 = (int(float(row[side])) for side in SIDES)
    except (TypeError, ValueError, OverflowError):
        raise DataError("a window is four numbers", where=where) from None
    if not (0 <= y0 < y1 and 0 <= x0 < x1):
        raise DataError(f"the window ymin {y0}, xmin {x0}, ymax {y1}, xmax {x1} is empty or begins below 0",
                        where=where)
    return [y0, x0, y1, x1]


def detections(
    args: SimpleNamespace, model: str, weights: str, windows: dict[str, list[list[int]]],
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Runs the net over the windows, picture by picture."""
    from layerforge.data.images import read_image
    from layerforge.pycaffe.classifier import Detector

    use_device(args)
    net = Detector(model, weights, context_pad=args.context_pad)
    channels, name = prepare(net, args), net.inputs[0]
    if channels != 3:
        raise NetError(f"{model} takes {channels} channels, windows are cut out of colour pictures")
    mean = net.transformer.mean.get(name)
    if mean is not None:
        net.transformer.set_mean(name, mean.mean((1, 2)))  # windows lie anywhere, so only the colour counts
    size = net.blobs[name].shape[-1]
    if 2 * args.context_pad >= size:
        raise UsageError(f"--context_pad {args.context_pad} leaves nothing of the net's input of {size} pixels")
    for picture, boxes in windows.items():
        height, width = read_image(picture, color=True).shape[:2]
        for box in boxes:
            if box[2] > height or box[3] > width:
                raise DataError(f"{picture} has {height} × {width} pixels, the window {box} ends outside")
        for entry in net.detect_windows([(picture, boxes)]):
            yield picture, np.array(entry["window"]), entry["prediction"].reshape(-1)


def _write_csv(path: str, found: Found) -> None:
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", errors="surrogateescape",
                                            newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", *SIDES, *(f"class{i}" for i in range(len(found[0][2])))])
        writer.writerows([name, *window.tolist(), *scores.tolist()] for name, window, scores in found)


def _write_hdf5(path: str, found: Found) -> None:
    from layerforge.data.hdf5_writer import writing

    with writing(path) as file:
        names = np.array([name.encode("utf-8", "surrogateescape") for name, _, _ in found])
        file.create_dataset("filename", data=names)
        file.create_dataset("window", data=np.stack([window for _, window, _ in found]))
        file.create_dataset("prediction", data=np.stack([scores for _, _, scores in found]))


command = Command(
    "detect", "a trained net's predictions for windows of pictures", run,
    (*FLAGS, Flag("crop_mode", str, "list", "where windows come from", choices=("list", "selective_search")),
     Flag("context_pad", int, 16, "pixels of surroundings around a window, in the net's input", "N", least=0)),
    arguments=("INPUT_FILE", "OUTPUT_FILE"),
    details=("INPUT_FILE.csv has a header and the columns filename, ymin, xmin, ymax, xmax. OUTPUT_FILE.csv has them\n"
             "and class0, class1, …; OUTPUT_FILE.h5 has the datasets filename, window, prediction."),
    examples=(("layerforge detect --model deploy.prototxt --weights rcnn.caffemodel --mean_value 104,117,123 "
               "windows.csv scores.csv", "a line of scores per window"),),
)
