"""ResNet-18."""

from layerforge.zoo.families import resnet


def texts() -> dict[str, str]:
    return resnet.texts("ResNet-18", "resnet18", (2, 2, 2, 2), resnet.basic, expansion=1)
