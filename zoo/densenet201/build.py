"""DenseNet-201."""

from layerforge.zoo.families import densenet


def texts() -> dict[str, str]:
    return densenet.texts(201, layers=(6, 12, 48, 32), slashed=True)
