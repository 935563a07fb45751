"""LeNet on MNIST, as in Caffe's first example: maximum pooling, and one ReLU."""

from layerforge.zoo.recipe import nets, solver
from layerforge.zoo.sketch import Sketch


def texts() -> dict[str, str]:
    comment = "Caffe's schedule. The test takes 100 batches of 100: all 10,000 pictures."
    schedule = solver(comment, test_iter=[100], test_interval=500, base_lr=0.01, lr_policy="inv", gamma=0.0001,
                      power=0.75, momentum=0.9, weight_decay=0.0005, max_iter=10000, display=100, snapshot=5000,
                      snapshot_prefix="lenet")
    return nets("LeNet", body, multipliers=((1, None), (2, None))) | {"solver.prototxt": schedule}


def body(n: Sketch) -> None:
    """From grey pictures of 28 × 28, scaled to 0 ... 1, to the digits."""
    x = n.pictures("mnist", (1, 28, 28), batch=64, test_batch=100, crop=False, mirror=False,
                   transform={"scale": 1 / 256}, name="mnist" if n.training else "data")
    x = n.pool("pool1", n.conv("conv1", x, 20, 5), "MAX", 2, 2)
    x = n.pool("pool2", n.conv("conv2", x, 50, 5), "MAX", 2, 2)
    x = n.relu("relu1", n.inner("ip1", x, 500))
    n.classify(n.inner("ip2", x, 10))
