"""SqueezeNet 1.1: a smaller first convolution and earlier pooling, for less than half of the work."""

from layerforge.zoo.families import squeezenet


def texts() -> dict[str, str]:
    return squeezenet.texts("squeezenet1_1", first={"outputs": 64, "kernel": 3}, pools=(3, 5), last_pad=0)
