"""ResNet-101."""

from layerforge.zoo.families import resnet


def texts() -> dict[str, str]:
    return resnet.texts("ResNet-101", "resnet101", (3, 4, 23, 3), resnet.bottleneck, expansion=4, numbered=True)
