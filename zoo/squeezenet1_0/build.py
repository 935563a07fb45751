"""SqueezeNet 1.0."""

from layerforge.zoo.families import squeezenet


def texts() -> dict[str, str]:
    return squeezenet.texts("squeezenet1_0", first={"outputs": 96, "kernel": 7}, pools=(4, 8), last_pad=1)
