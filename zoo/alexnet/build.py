"""AlexNet, as the Caffe project trained it."""

from layerforge.zoo.families import alexnet


def texts() -> dict[str, str]:
    return alexnet.texts("AlexNet", "alexnet", pool_first=False, offset=0.1)
