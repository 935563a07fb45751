"""Weights between files and nets: .caffemodel, .caffemodel.h5, .safetensors; matched by layer name as Caffe does.

A net is anything with `params` (layer name → list of Blob) and `name`; where it has `layers` and `layer_names`, files
written hold every layer with its type, and messages say where a layer stands.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.errors import NetError
from layerforge.core.files import replacing
from layerforge.core.storage import HOST
from layerforge.io.hdf5 import is_hdf5, is_hdf5_name
from layerforge.io.hdf5_weights import read_hdf5_weights, write_hdf5_weights
from layerforge.io.safetensors_weights import is_safetensors, is_safetensors_name, read_safetensors, write_safetensors
from layerforge.schema.read import read_binary_net
from layerforge.schema.weights import Chunks, LayerWeights, caffemodel_chunks, read_caffemodel
from layerforge.schema.write import layer_bytes

log = logging.getLogger("layerforge")


def load_weights(net: Any, path: str | os.PathLike[str]) -> Report:
    """Takes over the weights of a file, of either kind.

    Raises DataError for a file that cannot be read, NetError for weights that do not fit; the net is as before then.
    """
    return copy_weights(read_weights(path), net, os.fspath(path))


def save_weights(net: Any, path: str | os.PathLike[str], *, diffs: bool = False, hdf5: bool | None = None) -> None:
    """Writes the weights of a net as Caffe does; `diffs` adds the gradients. hdf5=None: the ending of the name decides.

    Raises DataError when the file cannot be written; an older file of the name is still there then.
    """
    file_format = format_of(path) if hdf5 is None else "hdf5" if hdf5 else "binary"
    write_weights(path, list(net_weights(net, diffs=diffs, shared=file_format == "binary")), file_format, net.name)


def read_weights(path: str | os.PathLike[str]) -> list[LayerWeights]:
    """All layers of a weights file; its first bytes tell the kind, not its name.

    Raises DataError when the file is missing, cut off, or of another kind.
    """
    if is_hdf5(path):
        return read_hdf5_weights(os.fspath(path))
    if is_safetensors(path) or is_safetensors_name(path):
        return read_safetensors(os.fspath(path))
    return read_caffemodel(path)


def format_of(path: str | os.PathLike[str]) -> str:
    """The format that the ending of a name stands for: "hdf5", "safetensors", else "binary"."""
    return "hdf5" if is_hdf5_name(path) else "safetensors" if is_safetensors_name(path) else "binary"


def write_weights(
    path: str | os.PathLike[str], layers: Sequence[LayerWeights], file_format: str | None = None, name: str = ""
) -> None:
    """Writes layers in the format "binary", "hdf5" or "safetensors"; None: the ending of the name decides.

    Raises DataError when the file cannot be written; an older file of the name is still there then.
    """
    file_format = file_format or format_of(path)
    if file_format == "hdf5":
        write_hdf5_weights(path, layers)
    elif file_format == "safetensors":
        write_safetensors(path, layers, name)
    else:
        write_chunks(path, caffemodel_chunks(name, layers))


def write_chunks(path: str | os.PathLike[str], chunks: Chunks) -> None:
    """Writes pieces of bytes to a file that takes the place of `path` when it is whole.

    Raises DataError when it cannot be written.
    """
    with replacing(os.fspath(path)) as temporary, open(temporary, "wb") as file:
        for chunk in chunks:
            file.write(chunk)


def net_weights(net: Any, *, diffs: bool = False, shared: bool = True) -> Iterator[LayerWeights]:
    """The layers of a net with their weights. Without `shared`, a shared blob is left to its owner, as in HDF5."""
    names = list(getattr(net, "layer_names", net.params))
    layers = getattr(net, "layers", [None] * len(names))
    last = {name: i for i, name in enumerate(names)}  # params are those of the last layer of a name
    seen: set[int] = set()
    for i, (name, layer) in enumerate(zip(names, layers)):
        made = LayerWeights(name, "" if layer is None else layer.type)
        if hasattr(layer, "definition"):
            made.type, made.definition = layer.definition.type, layer_bytes(layer.definition)
        for blob in net.params.get(name, ()) if last[name] == i else ():
            is_owner = id(blob.data) not in seen
            seen.add(id(blob.data))
            made.blobs.append(_host(blob, blob.data) if shared or is_owner else None)
            made.legacy.append(False)
            if diffs:
                made.diffs.append(_host(blob, blob.diff))
        yield made


def upgrade_caffemodel(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Writes a binary weights file of any format, with the net inside, in the format of today.

    Raises DataError when a file cannot be read or written.
    """
    net, weights = read_binary_net(source), read_caffemodel(source)
    made = []
    for definition in net.layers:
        layer = next((each for each in weights if each.name == definition.name), LayerWeights(definition.name))
        weights = [each for each in weights if each is not layer]
        layer.type, layer.definition = definition.type, layer_bytes(definition)
        made.append(layer)
    write_weights(target, made, "binary", net.name)


def _host(blob: Blob, storage: Any) -> np.ndarray:
    values: np.ndarray = storage.array(HOST).reshape(blob.shape)
    return values


# --- matching


@dataclass(slots=True)
class Report:
    """What became of the layers: names of those taken, those only in the file, those only in the net."""

    taken: list[str] = field(default_factory=list)
    not_in_net: list[str] = field(default_factory=list)
    not_in_file: list[str] = field(default_factory=list)


def copy_weights(weights: Sequence[LayerWeights], net: Any, source: str = "the weights") -> Report:
    """Takes over weights by layer name. Layers that only one side has are skipped.

    Raises NetError with every blob that does not fit; the net is as before then.
    """
    report, problems = Report(), []
    copies: list[tuple[Blob, np.ndarray]] = []
    first = _owned(net)
    known = {*net.params, *getattr(net, "layer_names", ())}
    for layer in weights:
        if layer.name not in known:
            report.not_in_net.append(layer.name)
            continue
        blobs = net.params.get(layer.name, [])
        found = list(_problems(layer, blobs, first))
        problems += [(layer.name, problem) for problem in found]
        pairs = [(blob, values) for blob, values in zip(blobs, layer.blobs) if values is not None]
        copies += pairs if not found else []
        report.taken += [layer.name] if pairs else []
    if problems:
        raise _misfit(problems, net, source)
    for blob, values in copies:
        blob.data.set(values)
    in_file = {layer.name for layer in weights}
    report.not_in_file = [name for name in net.params if name not in in_file]
    _say(report, source)
    return report


def _owned(net: Any) -> set[int]:
    """The blobs that own their values: those that share another's need not be in the file."""
    first: dict[int, int] = {}
    for blobs in net.params.values():
        for blob in blobs:
            first.setdefault(id(blob.data), id(blob))
    return set(first.values())


def _problems(layer: LayerWeights, blobs: Sequence[Blob], owned: set[int]) -> Iterator[str]:
    """Why the layer's blobs do not fit."""
    there = {i for i, values in enumerate(layer.blobs) if values is not None}
    if any(id(blob) in owned and i not in there for i, blob in enumerate(blobs)) or len(layer.blobs) > len(blobs):
        yield f"there are {len(there)} blobs in {{file}}, the net needs {len(blobs)}"
        return
    for i, (blob, values) in enumerate(zip(blobs, layer.blobs)):
        if values is None:
            continue
        legacy = i < len(layer.legacy) and layer.legacy[i]
        if not _same_shape(values.shape, blob.shape, legacy):
            yield f"blob {i} is {values.shape} in {{file}}, the net needs {blob.shape}"


def _same_shape(given: tuple[int, ...], needed: tuple[int, ...], legacy: bool) -> bool:
    """Four old numbers mean the same with or without their leading ones."""
    return given == needed or legacy and len(needed) <= 4 and given == (1,) * (4 - len(needed)) + tuple(needed)


def _misfit(problems: list[tuple[str, str]], net: Any, file: str) -> NetError:
    """One error for all that does not fit."""
    layers = zip(getattr(net, "layer_names", ()), getattr(net, "layers", ()))
    definitions = {name: layer.definition for name, layer in layers if hasattr(layer, "definition")}
    hint = "the net differs from the one that was saved; rename a layer to start it afresh"
    lines = []
    for name, problem in problems:
        owner = str(definitions.get(name, f"layer {name!r}"))
        where = definitions[name].where if name in definitions else None
        lines.append((where, f"{owner}: {problem.format(file=os.path.basename(file))}"))
    if len(lines) == 1:
        return NetError(lines[0][1], where=lines[0][0], hint=hint)
    rows = "".join(f"\n  {where}: {text}" if where else f"\n  {text}" for where, text in lines)
    return NetError(f"{file} does not fit the net in {len(lines)} places:{rows}", hint=hint)


def _say(report: Report, file: str) -> None:
    for name in report.not_in_net:
        log.info("Ignoring source layer %s", name)
    if not report.taken and report.not_in_file:
        names = ", ".join(report.not_in_net[:3])
        log.warning("%s has weights for no layer of the net: it has %s, the net %s", file, names, report.not_in_file[0])
