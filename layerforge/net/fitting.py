"""A device that is full: what the net needs, and the largest batch that would fit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from layerforge.core.errors import OutOfMemory
from layerforge.net.footprint import MIB, Footprint, footprint

if TYPE_CHECKING:
    from layerforge.net.net import Net

RESERVE = 0.1  # of the device's memory: the driver, compiled kernels, rounding


@contextlib.contextmanager
def saying_what_fits(net: Net) -> Iterator[None]:
    """Makes of a full device an error with what the net needs, and the largest batch that would fit."""
    try:
        yield
    except OutOfMemory as error:
        if error.explained:  # by a pass inside this one
            raise
        raise explained(net, error) from error
    except MemoryError as error:  # memory that was not asked for through the representation
        full = getattr(net.backend.representation, "full", None)
        if full is None:
            raise
        raise explained(net, full()) from error


def explained(net: Net, error: OutOfMemory) -> OutOfMemory:
    """The same error with the net's plan, and the batch that fits."""
    found, samples = planned(net), samples_of(net)
    parts = ", ".join(f"{label} {size / MIB:,.0f}" for label, size in found.rows()[:-1] if size)
    batch = fitting_batch(found, samples, error.total)
    if batch >= samples:
        hint = "the net would fit if nothing else used the GPU: end other programs (`nvidia-smi` lists them)"
    elif batch:
        hint = f"batch_size: {batch} would fit, if nothing else uses the GPU; a larger iter_size makes up for it"
    else:
        hint = "not even one sample would fit: smaller layers or pictures, or a GPU with more memory"
    said = f"{error.message}. With {samples} samples a batch the net needs {found.peak / MIB:,.0f} MiB ({parts})"
    made = OutOfMemory(said, error.total, hint=hint)
    made.explained = True
    return made


def planned(net: Net) -> Footprint:
    """What an iteration takes; a net that learns has a history as large as its parameters' gradients."""
    history = [view.blob.diff for layer, runs in zip(net.layers, net.gradients.layers) if runs
               for view, wanted in zip(layer.blobs, layer.needs_gradient) if wanted]
    return footprint(net, dict.fromkeys(history))


def samples_of(net: Net) -> int:
    """The batch size: the first axis of the first blob that comes from outside."""
    for node in net.graph.nodes:
        for top in () if node.bottoms else node.tops:
            if net.blob_list[top].shape:
                return net.blob_list[top].shape[0]
    return 1


def fitting_batch(found: Footprint, samples: int, total: int) -> int:
    """The largest batch that leaves a part of the memory free, if blobs and scratch grow with the batch."""
    fixed = found.parameters + found.parameter_gradients + found.history
    return max(0, int((total * (1 - RESERVE) - fixed) * samples // max(found.peak - fixed, 1)))
