"""ResNet-32 for CIFAR-10."""

from layerforge.zoo.families import resnet_cifar


def texts() -> dict[str, str]:
    return resnet_cifar.texts(32)
