"""`layerforge parse_log`: the numbers of a training log as two tables."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from types import SimpleNamespace

from layerforge.cli.flags import Command, Flag, UsageError
from layerforge.core.errors import DataError
from layerforge.core.files import replacing
from layerforge.solver.log_reader import Row, read_log


def run(args: SimpleNamespace) -> int:
    """Writes NAME.train and NAME.test, those that have rows."""
    if len(delimiter := args.delimiter.replace("\\t", "\t")) != 1:
        raise UsageError(f"--delimiter is one character, got {args.delimiter!r}")
    log = read_log(args.logfile)
    if not os.path.isdir(args.output_dir):
        raise DataError(f"the folder {args.output_dir!r} does not exist")
    for part, rows in (("train", log.train), ("test", log.test)):
        path = os.path.join(args.output_dir, f"{os.path.basename(args.logfile)}.{part}")
        if rows:
            write_table(path, rows, delimiter)
            print(f"{path}: {len(rows):,} rows")
        else:
            print(f"no {part} outputs in {args.logfile}")
    return 0


def write_table(path: str, rows: Sequence[Row], delimiter: str) -> None:
    """A line per row under Caffe's names of columns, then a column per output."""
    outputs = list(dict.fromkeys(name for row in rows for name in row.outputs))
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["NumIters", "Seconds", "LearningRate", *outputs])
        for row in rows:
            values = (row.outputs.get(name, "") for name in outputs)
            writer.writerow([float(row.iteration), row.seconds, row.learning_rate, *values])


command = Command(
    "parse_log", "writes the outputs and learning rates of a training log as tables", run,
    (Flag("delimiter", str, ",", "between the columns; \\t is a tab", "CHARACTER"),
     Flag("verbose", bool, False, "Caffe's flag; the files are always named")),
    arguments=("LOGFILE", "OUTPUT_DIR"),
    details="Reads Caffe's logs and our own. Columns: NumIters, Seconds, LearningRate, and one per output.",
    examples=(("layerforge parse_log caffe.log .", "caffe.log.train and caffe.log.test, here"),),
)
