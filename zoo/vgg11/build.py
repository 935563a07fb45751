"""VGG-11."""

from layerforge.zoo.families import vgg


def texts() -> dict[str, str]:
    return vgg.texts("VGG_ILSVRC_11_layers", "vgg11", depths=(1, 1, 2, 2, 2))
