"""`layerforge upgrade_net`: a net of an old format, text or binary, in the format of today."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from layerforge.cli.flags import Command


def run(args: SimpleNamespace) -> int:
    """Writes the upgraded net; a text becomes a text, weights stay weights."""
    from layerforge.io.weights import upgrade_caffemodel
    from layerforge.schema.read import read_tree
    from layerforge.schema.upgrade import upgrade_net
    from layerforge.schema.write import tree_text

    if is_binary(args.input):
        upgrade_caffemodel(args.input, args.output)
    else:
        tree = read_tree(args.input)
        made = upgrade_net(tree, args.input)
        if made == tree:
            print(f"{args.input} is of the latest format already", file=sys.stderr)
        write_text(args.output, tree_text(made, "NetParameter"))
    print(f"{args.output}: the upgraded net")
    return 0


def is_binary(path: str) -> bool:
    """Whether the file holds bytes that no text has."""
    from layerforge.schema.weights import read_bytes

    return bool(read_bytes(path)[:4096].translate(None, bytes(range(32, 256)) + b"\t\r\n\f\v"))


def write_text(path: str, text: str) -> None:
    """Writes the text to a file that takes the place of an older one when it is whole."""
    from layerforge.core.files import replacing

    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


command = Command(
    "upgrade_net", "writes an old net, text or binary, in the format of today", run,
    arguments=("INPUT", "OUTPUT"),
    details=("Old nets are upgraded whenever they are read; this makes it last. Comments are lost. Also called\n"
             "upgrade_net_proto_text and upgrade_net_proto_binary, as in Caffe."),
    examples=(("layerforge upgrade_net old.prototxt new.prototxt", "a text of the first or second format"),
              ("layerforge upgrade_net old.caffemodel new.caffemodel", "weights with the net inside")),
)
