"""A linear classifier of MNIST: the scores of the digits are weighted sums of the pixels."""

from layerforge.zoo.families import digits_mlp


def texts() -> dict[str, str]:
    return digits_mlp.texts("linear", hidden=())
