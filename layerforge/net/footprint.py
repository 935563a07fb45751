"""Footprint: the memory that a net takes, known before any is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from layerforge.core.errors import NetError
from layerforge.core.limits import memory_limit
from layerforge.core.storage import HOST, Representation, Storage
from layerforge.core.workspace import Buffer
from layerforge.graph.memory import MemoryPlan

if TYPE_CHECKING:
    from layerforge.net.net import Net

MIB = 2**20


@dataclass(frozen=True)
class Footprint:
    """Bytes of one iteration, forward and backward, by what they hold.

    activations   data of blobs and of the steps' own, in every layout they take, each with memory of its own
    gradients     the same for diffs; those of parameters apart
    parameters, parameter_gradients, history   statistics that forward keeps are parameters too
    scratch       what layers and engines keep to themselves
    saved         what packing takes off
    """

    activations: int
    gradients: int
    parameters: int
    parameter_gradients: int
    history: int
    scratch: int
    saved: int

    @property
    def peak(self) -> int:
        """All of it together."""
        values = self.activations + self.gradients + self.parameters + self.parameter_gradients
        return values + self.history + self.scratch - self.saved

    def rows(self) -> list[tuple[str, int]]:
        """Labels and bytes."""
        return [
            ("activations", self.activations), ("gradients", self.gradients), ("parameters", self.parameters),
            ("parameters' gradients", self.parameter_gradients), ("history", self.history),
            ("scratch", self.scratch), ("saved by packing", -self.saved), ("peak", self.peak),
        ]


def footprint(net: Net, history: Iterable[Storage] = ()) -> Footprint:
    """What the net takes, with the solver's history if there is one."""
    plan = net.memory.plan if net.memory.packs else None
    parameters = {view.blob.data for layer in net.layers for view in layer.blobs}
    learned = {view.blob.diff for layer, runs in zip(net.layers, net.gradients.layers) if runs
               for view, wanted in zip(layer.blobs, layer.needs_gradient) if wanted}
    diffs = {blob.diff for blob in net.blob_list}
    sizes = {storage: storage.nbytes for storage in (*parameters, *learned)}
    for (storage, _), size in _sizes(net, plan).items():
        sizes[storage] = sizes.get(storage, 0) + size
    for storage in parameters | learned:  # named in a layout of their own or not at all
        if sizes[storage] > storage.nbytes:
            sizes[storage] -= storage.nbytes

    def total(wanted: Callable[[Storage], bool]) -> int:
        return sum(size for storage, size in sizes.items() if wanted(storage))

    return Footprint(
        activations=total(lambda storage: storage not in parameters | learned | diffs),
        gradients=total(diffs.__contains__),
        parameters=total(parameters.__contains__),
        parameter_gradients=total(learned.__contains__),
        history=sum(storage.nbytes for storage in history),
        scratch=_scratch(net),
        saved=plan.loose - plan.nbytes if plan else 0,
    )


def check_fits(
    net: Net, history: Iterable[Storage] = (), *, backward: bool = True, beside: Iterable[Net] = ()
) -> None:
    """Raises NetError for a net that is larger than the host's memory, with the plan's figures and the cure.

    backward  False: gradients that have memory of their own are not counted, for only forward runs
    beside    nets that use its parameters, such as a solver's test nets
    A device says itself when it is full.
    """
    if net.backend.representation is not HOST:
        return
    limit, why = memory_limit()
    found = footprint(net, history) if backward else _forward(net)
    others = sum(each.peak - each.parameters for each in map(_forward, beside))
    if not limit or found.peak + others <= limit:
        return
    rows = [*found.rows()[:-1], ("test nets", others)]
    figures = ", ".join(f"{label} {size / MIB:,.0f}" for label, size in rows if size)
    raise NetError(
        f"net {net.name!r} needs {(found.peak + others) / MIB:,.0f} MiB ({figures}), {why} is {limit / MIB:,.0f} MiB",
        hint=_cure(net, found, others),
    )


def _forward(net: Net) -> Footprint:
    """Without gradients, where these would have memory of their own."""
    found = footprint(net)
    return found if net.memory.packs else replace(found, gradients=0, parameter_gradients=0)


def _cure(net: Net, found: Footprint, others: int) -> str:
    """What would reduce the largest part."""
    weights = found.parameters + found.parameter_gradients + found.history
    cures = []
    if net.keep == "all":
        cures.append('the command line, or build_net with keep="outputs", packs blobs into one arena')
    if weights > found.peak - weights + others:
        cures.append("parameters are most of it: smaller layers, or a solver type with less history")
    elif others > found.peak:
        cures.append("a smaller batch in the test nets with a larger test_iter gives the same figures in less memory")
    elif found.parameter_gradients:
        cures.append("a smaller batch with a larger iter_size gives the same training in less memory")
    else:
        cures.append("a smaller batch needs less")
    return "; ".join(cures)


def _sizes(net: Net, plan: MemoryPlan | None) -> dict[tuple[Storage, Representation], int]:
    """Bytes of all that is placed, and of what else the steps say they use."""
    sizes = {} if plan is None else plan.sizes
    for step in net.steps:
        for storage, representation, *_ in (use for uses in step.uses() for use in uses):
            sizes.setdefault((storage, representation), _size(storage, representation))
    return sizes


def _size(storage: Storage, representation: Representation) -> int:
    extent = getattr(representation, "extent", None)
    if extent is None:
        return storage.nbytes
    length, dtype = extent(storage.count, storage.dtype)
    return int(length * dtype.itemsize)


def _scratch(net: Net) -> int:
    """Scratch that layers share, what each keeps from forward to backward, and what the engines say."""
    own = [net.layers[index] for step in net.steps if step.engine == "layer" for index in step.layers]
    shared = max((layer.scratch_nbytes for layer in own), default=0)
    kept = sum(each.nbytes for layer in own for each in vars(layer).values() if isinstance(each, Buffer) and each.kept)
    engines = {key: size for step in net.steps for key, size in step.buffers().items()}
    return shared + kept + sum(engines.values())
