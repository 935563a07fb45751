"""`layerforge draw`: a picture of a net, or its text after a pass."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from layerforge.cli import options
from layerforge.cli.flags import Command, Flag

PHASES = ("TRAIN", "TEST", "ALL")
STAGES = ("read", "filter", "split", "wire", "shapes", "gradients", "sharing", "plan")
"""Passes in the order of the pipeline. `read` is the text with old forms brought up to date, all phases in it."""


def run(args: SimpleNamespace) -> int:
    """Draws into the file, or prints the text where none is named."""
    from layerforge.cli.flags import UsageError
    from layerforge.cli.stages import reach
    from layerforge.netdef.types import Phase
    from layerforge.pictures.net import draw_net
    from layerforge.schema.read import read_net

    if args.picture and args.out:
        raise UsageError("the picture is named twice", hint="name it behind the net, or with --out")
    path = args.picture or args.out
    if not path and not args.after:
        raise UsageError("draw needs the name of a picture", hint="layerforge draw net.prototxt net.svg")
    phase = Phase[args.phase] if args.phase in ("TRAIN", "TEST") else None
    stage = args.after or ("read" if phase is None and args.phase == "ALL" else "filter")
    reached = reach(read_net(args.net), stage, phase, args.level, options.names(args.stage))
    if not path:
        print(reached.text.rstrip())
        return 0
    if reached.problem is not None:
        print(f"layerforge: drawn without shapes: {reached.problem}", file=sys.stderr)
    draw_net(reached.definition, path, reached.facts, direction=args.rankdir, learning_rates=args.display_lrm)
    print(f"{path}: {len(reached.definition.layers)} layers")
    return 0


command = Command(
    "draw", "draws a net: SVG, PNG or Graphviz; prints it after any pass", run,
    (Flag("out", str, "", "the picture: .svg, .png or .dot (for Graphviz); without it the text is printed", "FILE"),
     Flag("rankdir", str, "TB", "where the data flow: down, right, up or left", choices=("TB", "LR", "BT", "RL")),
     Flag("phase", str, "TEST", "the phase to draw", choices=PHASES, caffe=True),
     options.LEVEL, options.STAGE,
     Flag("display_lrm", bool, False, "shows the learning-rate multipliers of the layers that learn"),
     Flag("after", str, "", "the net after this pass", choices=STAGES)),
    arguments=("NET", "[PICTURE]"),
    examples=(("layerforge draw zoo/lenet/train_val.prototxt lenet.svg",
               "the test net with shapes and parameter counts"),
              ("layerforge draw zoo/lenet/train_val.prototxt lenet.png --phase TRAIN --rankdir LR --display_lrm",
               "the train net from left to right, with learning rates"),
              ("layerforge draw zoo/lenet/train_val.prototxt --after split", "the text with Caffe's split layers")),
    details="Pictures need: pip install 'layerforge[pictures]'.\n"
            "Layers that work in place stand in their producer's box.",
)
