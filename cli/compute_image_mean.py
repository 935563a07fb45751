"""`layerforge compute_image_mean`: the mean picture of a database."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

from layerforge.cli.convert_imageset import BACKEND
from layerforge.cli.flags import Command
from layerforge.cli.progress import track


def run(args: SimpleNamespace) -> int:
    """Writes the mean file, where one is named, and prints the mean of each channel."""
    from layerforge.data.mean import mean_picture
    from layerforge.data.reader import open_database
    from layerforge.io.mean import write_mean

    with contextlib.closing(open_database(args.input_db, args.backend.upper())) as reader:
        mean, count = mean_picture(reader, track(reader.records(None), "records", reader.count(), every=10000))
    if args.output_file:
        write_mean(args.output_file, mean)
        print(f"{args.output_file}: the mean of {count:,} records")
    print(f"Number of channels: {len(mean)}")
    for channel, value in enumerate(mean.mean((1, 2), dtype=float)):
        print(f"mean_value channel [{channel}]: {value:g}")
    return 0


command = Command(
    "compute_image_mean", "the mean picture of a database", run, (BACKEND,),
    arguments=("INPUT_DB", "[OUTPUT_FILE]"),
    examples=(("layerforge compute_image_mean train_lmdb mean.binaryproto",
               "writes the file for mean_file, prints the numbers for mean_value"),
              ("layerforge compute_image_mean train_lmdb", "prints the mean of each channel alone")),
)
