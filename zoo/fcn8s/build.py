"""FCN-8s for PASCAL VOC."""

from layerforge.zoo.families import fcn


def texts() -> dict[str, str]:
    return fcn.texts(8, base_lr=1e-14)
