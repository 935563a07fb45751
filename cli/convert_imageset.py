"""`layerforge convert_imageset`: picture files and their labels into a database."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING

from layerforge.cli.flags import Command, Flag, UsageError
from layerforge.cli.progress import track
from layerforge.core.random import Random

if TYPE_CHECKING:
    from layerforge.data.image_list import ImageList
    from layerforge.data.portions import Record

GRAY = Flag("gray", bool, False, "stores one channel instead of three")
WIDTH = Flag("resize_width", int, 0, "the width pictures are resized to; both or neither", "N", least=0)
HEIGHT = Flag("resize_height", int, 0, "the height pictures are resized to", "N", least=0)
ENCODED = Flag("encoded", bool, False, "stores compressed pictures: the files as they are, where nothing changes them")
BACKEND = Flag("backend", str, "lmdb", "the kind of database", choices=("lmdb", "leveldb"))


def run(args: SimpleNamespace) -> int:
    """Writes the database; says how many pictures it has."""
    from layerforge.data.convert import Conversion, file_records
    from layerforge.data.image_list import read_image_list

    if bool(args.resize_width) != bool(args.resize_height):
        raise UsageError("--resize_width and --resize_height go together")
    pictures = read_image_list(args.listfile, args.label_count)
    order = None
    if args.shuffle:
        random = Random(args.seed)
        order = random.stream("shuffle").at(0).permutation(len(pictures.names)).tolist()
        print(f"shuffled with --seed {random.seed}", file=sys.stderr)
    conversion = Conversion(args.rootfolder, args.resize_height, args.resize_width, not args.gray,
                            args.encode_type or ("?" if args.encoded else ""))
    broken: list[str] | None = [] if args.skip_broken else None
    records = file_records(pictures, conversion, source=args.listfile, order=order, check_size=args.check_size,
                           broken=broken)
    count = write(args, track(records, "pictures", len(pictures.names)), pictures, order)
    for message in broken or ():
        print(f"left out: {message}", file=sys.stderr)
    print(f"{args.db_name}: {count:,} pictures")
    return 0


def write(args: SimpleNamespace, records: Iterable[Record], pictures: ImageList, order: Sequence[int] | None) -> int:
    """Writes the records; of several labels also DB_NAME_labels. Both are there at the end, or neither."""
    from layerforge.data.convert import label_records
    from layerforge.data.portions import portions
    from layerforge.data.writer import OPEN_WRITERS

    opened, count = OPEN_WRITERS[args.backend.upper()], 0
    with contextlib.ExitStack() as stack:
        put = stack.enter_context(opened(args.db_name))
        put_labels = stack.enter_context(opened(f"{args.db_name}_labels")) if args.label_count > 1 else None
        for portion in portions(records):
            put(portion)
            if put_labels:
                put_labels(list(label_records(pictures, (key for key, _ in portion), order)))
            count += len(portion)
    return count


command = Command(
    "convert_imageset", "writes a database of picture files and their labels", run,
    (GRAY, Flag("shuffle", bool, False, "puts the pictures into a random order"),
     Flag("seed", int, None, "of the shuffle, to repeat it", "N", least=0), BACKEND, WIDTH, HEIGHT,
     Flag("check_size", bool, False, "all pictures must have the size of the first"), ENCODED,
     Flag("encode_type", str, "", "stores pictures compressed so: png, jpg, ...", "TYPE"),
     Flag("label_count", int, 1, "how many numbers follow each name; several go into DB_NAME_labels", "N", least=1),
     Flag("skip_broken", bool, False, "leaves out pictures that cannot be read, as Caffe does")),
    arguments=("ROOTFOLDER", "LISTFILE", "DB_NAME"),
    details=("LISTFILE has a line `name label` for each picture; ROOTFOLDER stands before it, ending in a slash.\n"
             "With --label_count 3 lines are `name a b c`, and DB_NAME_labels gets them, for its own Data layer."),
    examples=(("layerforge convert_imageset --resize_width 256 --resize_height 256 photos/ train.txt train_lmdb",
               "train_lmdb with 256 × 256 pixels"),
              ("layerforge convert_imageset --encoded photos/ val.txt val_lmdb", "the files themselves, as they are")),
)
