"""CaffeNet: AlexNet with pooling before normalization."""

from layerforge.zoo.families import alexnet


def texts() -> dict[str, str]:
    return alexnet.texts("CaffeNet", "caffenet", pool_first=True, offset=1)
