"""The families of layers in a picture, with their colours: what a reader tells apart at a glance."""

from __future__ import annotations

from typing import NamedTuple

from layerforge.layers.registry import layer_types


class Family(NamedTuple):
    """A name for the legend, a strong colour for the edge of a box, a pale one for its ground, a dark one for words."""

    name: str
    strong: str
    pale: str
    dark: str


CONVOLUTION = Family("convolution", "#3b7dd8", "#e6f0fc", "#1d4f96")
LINEAR = Family("linear", "#7a5cd0", "#efeafb", "#4f3799")
SAMPLING = Family("pooling, sampling", "#d98a1f", "#fcf1e0", "#8a5304")
NORMALISATION = Family("normalisation", "#2a9d8f", "#e0f4f1", "#13655b")
ACTIVATION = Family("activation", "#cf4f7b", "#fbe8ef", "#8f2750")
RECURRENT = Family("recurrent", "#a23fb0", "#f6e6f8", "#6d2178")
COMBINING = Family("sums, products", "#8aa121", "#f2f6de", "#55640c")
SHAPE = Family("shape", "#7d8794", "#eef0f3", "#4b535d")
LOSS = Family("loss, metric", "#d4453c", "#fce8e6", "#922820")
DATA = Family("data", "#4c9a4a", "#e7f4e6", "#2a6329")
DETECTION = Family("boxes", "#b5651d", "#f8ece1", "#75400f")
OTHER = Family("other", "#9a9a9a", "#f2f2f2", "#555555")

FAMILIES = (
    DATA,
    CONVOLUTION,
    LINEAR,
    RECURRENT,
    SAMPLING,
    NORMALISATION,
    ACTIVATION,
    COMBINING,
    SHAPE,
    LOSS,
    DETECTION,
    OTHER,
)
"""In the order of the legend."""

_FILES: dict[Family, str] = {
    CONVOLUTION: "convolution",
    LINEAR: "inner_product embed products",
    SAMPLING: "pooling spp roi_pooling roi_align crop_and_resize upsample interp resize flow",
    NORMALISATION: "batch_norm bn lrn mvn normalize layer_norm affine batch_statistics",
    ACTIVATION: "activation prelu soft_activation hard_activation dropout softmax"
                " elementary trigonometry rounding pointwise",
    RECURRENT: "recurrent lstm gru",
    COMBINING: "eltwise accum axpy correlation arithmetic reduction axis_reduction",
    SHAPE: "shaping joining slicing repeating padding gathering ordering selection batch_blocks crop labels reorg",
    LOSS: "losses label_losses metrics",
    DATA: "database hdf5 images inputs memory sources windows",
    DETECTION: "prior_box detection_output multibox_loss detection_evaluate proposal boxes",
    OTHER: "python_layer",
}
_FAMILY_OF_FILE = {file: family for family, files in _FILES.items() for file in files.split()}
_BY_TYPE = {"Im2col": SHAPE, "Reduction": COMBINING}


def family_of(type_name: str) -> Family:
    """The family of a layer type: that of the file in `layers/` that holds it."""
    if type_name in _BY_TYPE:
        return _BY_TYPE[type_name]
    layer = layer_types().get(type_name)
    file = layer.__module__.rpartition(".")[2] if layer is not None else ""
    return _FAMILY_OF_FILE.get(file, OTHER)
