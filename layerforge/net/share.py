"""One net using another's parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerforge.core.blob import Blob
from layerforge.core.errors import NetError

if TYPE_CHECKING:
    from layerforge.net.net import Net


def share_parameters_with(net: Net, other: Net) -> None:
    """`net` uses the storage of `other` for the parameters (not the gradients) of layers that both have.

    Raises NetError with all layers whose shapes or counts differ.
    """
    theirs = {name: layer for name, layer in zip(other.layer_names, other.layers) if layer.blobs}
    wrong: list[str] = []
    pairs: list[tuple[Blob, Blob]] = []
    for name, layer in zip(net.layer_names, net.layers):
        if not layer.blobs or name not in theirs:
            continue
        mine, source = [v.blob for v in layer.blobs], [v.blob for v in theirs[name].blobs]
        if [b.shape for b in mine] != [b.shape for b in source]:
            wrong.append(f"{layer.definition}: {[b.shape for b in mine]} against {[b.shape for b in source]}")
        else:
            pairs += zip(mine, source)
    if wrong:
        raise NetError("parameters cannot be shared between the nets: " + "; ".join(wrong))
    for target, source_blob in pairs:
        target.share_data(source_blob)
