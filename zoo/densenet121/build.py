"""DenseNet-121."""

from layerforge.zoo.families import densenet


def texts() -> dict[str, str]:
    return densenet.texts(121, layers=(6, 12, 24, 16))
