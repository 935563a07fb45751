"""VGG-13."""

from layerforge.zoo.families import vgg


def texts() -> dict[str, str]:
    return vgg.texts("VGG_ILSVRC_13_layers", "vgg13", depths=(2, 2, 2, 2, 2))
