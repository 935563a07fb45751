"""VGG-16."""

from layerforge.zoo.families import vgg


def texts() -> dict[str, str]:
    return vgg.texts("VGG_ILSVRC_16_layers", "vgg16", depths=(2, 2, 3, 3, 3))
