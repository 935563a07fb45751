"""DenseNet-169."""

from layerforge.zoo.families import densenet


def texts() -> dict[str, str]:
    return densenet.texts(169, layers=(6, 12, 32, 32))
