"""Reads nets and solvers: text or binary → tree → upgraded → NetDef, SolverDef."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from layerforge.core.errors import DataError
from layerforge.netdef.params import Params
from layerforge.netdef.types import Fields, NetDef, SolverDef
from layerforge.schema.binary import fields_of, parse_binary
from layerforge.schema.convert import net_def, solver_def
from layerforge.schema.parse import parse, read_text
from layerforge.schema.upgrade import upgrade_net, upgrade_solver

Extra = Mapping[str, type[Params]]
"""Message fields that plugins add to LayerParameter, with their Params."""


def read_net(path: str | os.PathLike[str], extra: Extra | None = None) -> NetDef:
    """The net of a prototxt, upgraded.

    Raises PrototxtError with file and line of whatever cannot be read.
    """
    path = os.fspath(path)
    return parse_net(read_text(path), path, extra)


def parse_net(text: str, file: str = "<text>", extra: Extra | None = None) -> NetDef:
    """The net of a text; `file` names it in messages.

    Raises PrototxtError with file and line of whatever cannot be read.
    """
    return net_def(upgrade_net(parse(text, file, "NetParameter", extra), file), file)


def read_solver(path: str | os.PathLike[str], extra: Extra | None = None) -> SolverDef:
    """The solver of a prototxt, upgraded.

    Raises PrototxtError with file and line of whatever cannot be read.
    """
    path = os.fspath(path)
    return parse_solver(read_text(path), path, extra)


def parse_solver(text: str, file: str = "<text>", extra: Extra | None = None) -> SolverDef:
    """The solver of a text; `file` names it in messages.

    Raises PrototxtError with file and line of whatever cannot be read.
    """
    return solver_def(upgrade_solver(parse(text, file, "SolverParameter", extra), file), file)


def read_binary_net(path: str | os.PathLike[str]) -> NetDef:
    """The net inside a .caffemodel, without its weights.

    Raises DataError when the file is no binary net.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    return net_def(upgrade_net(parse_binary(data, "NetParameter", path), path), path)


def net_from_message(message: Any, file: str = "") -> NetDef:
    """The net of a protobuf NetParameter, of this schema's class or of another program's."""
    return net_def(upgrade_net(fields_of(message), file), file)


def read_tree(path: str | os.PathLike[str], message: str = "NetParameter", extra: Extra | None = None) -> Fields:
    """The tree of a prototxt as it stands: not upgraded, not converted."""
    path = os.fspath(path)
    return parse(read_text(path), path, message, extra)
