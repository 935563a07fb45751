"""VGG-19."""

from layerforge.zoo.families import vgg


def texts() -> dict[str, str]:
    return vgg.texts("VGG_ILSVRC_19_layers", "vgg19", depths=(2, 2, 4, 4, 4))
