"""FCN-R of the 2017 survey: fully connected layers on MNIST, about 31 million parameters."""

from layerforge.zoo.families import digits_mlp


def texts() -> dict[str, str]:
    return digits_mlp.texts(
        "survey_fcn_r", hidden=(2048, 4096, 4096, 1024), activation="Sigmoid",
        comment="The survey's rate, kept fixed. It measures batches of 342 to 4,096; here they are of 64.",
        base_lr=0.05, lr_policy="fixed")
