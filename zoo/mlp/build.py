"""A net of two hidden layers for MNIST."""

from layerforge.zoo.families import digits_mlp


def texts() -> dict[str, str]:
    return digits_mlp.texts("mlp", hidden=(512, 512), dropout=0.5)
