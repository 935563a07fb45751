"""FCN-16s for PASCAL VOC."""

from layerforge.zoo.families import fcn


def texts() -> dict[str, str]:
    return fcn.texts(16, base_lr=1e-12)
