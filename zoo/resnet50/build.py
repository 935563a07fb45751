"""ResNet-50."""

from layerforge.zoo.families import resnet


def texts() -> dict[str, str]:
    return resnet.texts("ResNet-50", "resnet50", (3, 4, 6, 3), resnet.bottleneck, expansion=4, published_offsets=True)
