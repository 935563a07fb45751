"""Starting from the weights of another net: which layers take them, which start afresh, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from layerforge.io.weights import Report, copy_weights, read_weights
from layerforge.net.net import Net

Say = Callable[[str, str], None]
"""Takes a line, and the place in Caffe that says such things."""


def take_weights(paths: Sequence[str], nets: Sequence[Net], say: Say) -> None:
    """Copies the weights of the files, one after the other, into all nets; says what became of the first net's layers.

    Raises DataError for a file that cannot be read, NetError for weights that do not fit.
    """
    taken: set[str] = set()
    for path in paths:
        say(f"Finetuning from {path}", "solver.cpp:72")
        weights = read_weights(path)
        reports = [copy_weights(weights, net, path) for net in nets]
        taken.update(reports[0].taken)
        for line in _lines(reports[0], path, {layer.name for layer in weights if layer.blobs}):
            say(line, "solver.cpp:72")
    if paths:
        for line in _rest(nets[0], taken):
            say(line, "solver.cpp:72")


def _lines(report: Report, path: str, with_blobs: set[str]) -> Iterator[str]:
    """What a file gave, and what of it nobody takes."""
    yield f"  taken: {_names(report.taken)}"
    unused = [name for name in report.not_in_net if name in with_blobs]
    if unused:
        yield f"  left in {path}, since the net has no layer of that name: {_names(unused)}"


def _rest(net: Net, taken: set[str]) -> Iterator[str]:
    """What starts afresh, what stays as it is, and where backward ends."""
    fresh = [name for name in net.params if name not in taken]
    if fresh:
        yield f"  started afresh, since no file has a layer of that name: {_names(fresh)}"
    frozen = [name for name in net.params if not any(net.layer(name).needs_gradient) and not _fixed(net, name)]
    if frozen:
        ends = next((name for name, runs in zip(net.layer_names, net.gradients.layers) if runs), None)
        below = f"; backward ends at {ends}" if ends else ""
        yield f"  not learned, since lr_mult is 0: {_names(frozen)}{below}"


def _fixed(net: Net, name: str) -> bool:
    """Whether no parameter of the layer is ever learned: BatchNorm's statistics."""
    layer = net.layer(name)
    return all(k in layer.fixed for k in range(len(layer.blobs)))


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"
