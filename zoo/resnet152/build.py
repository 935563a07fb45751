"""ResNet-152."""

from layerforge.zoo.families import resnet


def texts() -> dict[str, str]:
    return resnet.texts("ResNet-152", "resnet152", (3, 8, 36, 3), resnet.bottleneck, expansion=4, numbered=True)
