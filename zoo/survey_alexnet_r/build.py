"""AlexNet-R of the 2017 survey: cifar10_full without normalization, on CIFAR-10."""

from layerforge.zoo.recipe import nets, solver
from layerforge.zoo.sketch import Sketch


def texts() -> dict[str, str]:
    schedule = solver("The survey's schedule: batches of 128, a fixed rate.", test_iter=[100], test_interval=782,
                      base_lr=0.001, lr_policy="fixed", momentum=0.9, max_iter=15640, display=100, snapshot=7820,
                      snapshot_prefix="survey_alexnet_r")
    return nets("AlexNet-R", body, filler={"type": "gaussian", "std": 0.01}) | {"solver.prototxt": schedule}


def body(n: Sketch) -> None:
    """From pictures of 32 × 32 without their mean to the classes; sizes are rounded down."""
    x = n.pictures("cifar10", (3, 32, 32), batch=128, test_batch=100, crop=False, mirror=False,
                   transform={"mean_file": "cifar10_mean.binaryproto"})
    down = {"round_mode": "FLOOR"}
    x = n.relu("relu1", n.pool("pool1", n.conv("conv1", x, 32, 5, pad=2), "MAX", 3, 2, **down))
    x = n.pool("pool2", n.relu("relu2", n.conv("conv2", x, 32, 5, pad=2)), "AVE", 3, 2, **down)
    x = n.pool("pool3", n.relu("relu3", n.conv("conv3", x, 64, 5, pad=2)), "AVE", 3, 2, **down)
    n.classify(n.inner("fc1", x, 10))
