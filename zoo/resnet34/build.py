"""ResNet-34."""

from layerforge.zoo.families import resnet


def texts() -> dict[str, str]:
    return resnet.texts("ResNet-34", "resnet34", (3, 4, 6, 3), resnet.basic, expansion=1)
