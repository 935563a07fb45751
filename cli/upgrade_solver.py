"""`layerforge upgrade_solver`: a solver of an old format in the format of today."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from layerforge.cli.flags import Command
from layerforge.cli.upgrade_net import write_text


def run(args: SimpleNamespace) -> int:
    """Writes the upgraded solver."""
    from layerforge.schema.read import read_tree
    from layerforge.schema.upgrade import upgrade_solver
    from layerforge.schema.write import tree_text

    tree = read_tree(args.input, "SolverParameter")
    made = upgrade_solver(tree, args.input)
    if made == tree:
        print(f"{args.input} is of the latest format already", file=sys.stderr)
    write_text(args.output, tree_text(made, "SolverParameter"))
    print(f"{args.output}: the upgraded solver")
    return 0


command = Command(
    "upgrade_solver", "writes an old solver in the format of today", run,
    arguments=("INPUT", "OUTPUT"),
    details="Also called upgrade_solver_proto_text, as in Caffe.",
    examples=(("layerforge upgrade_solver old_solver.prototxt solver.prototxt",
               'solver_type: ADAM becomes type: "Adam"'),),
)
