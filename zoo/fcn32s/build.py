"""FCN-32s for PASCAL VOC."""

from layerforge.zoo.families import fcn


def texts() -> dict[str, str]:
    return fcn.texts(32, base_lr=1e-10)
