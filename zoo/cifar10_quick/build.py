"""cifar10_quick: Caffe's small net for CIFAR-10, of three convolutions, which learns in minutes."""

from layerforge.zoo.recipe import nets, solver
from layerforge.zoo.sketch import Sketch


def texts() -> dict[str, str]:
    comment = ("Caffe's schedule: 4,000 iterations at 0.001 and 1,000 at a tenth of it. Caffe's own second half is "
               "a solver of its own, which goes on from the first one's snapshot.")
    schedule = solver(comment, test_iter=[100], test_interval=500, base_lr=0.001, lr_policy="multistep", gamma=0.1,
                      stepvalue=[4000], momentum=0.9, weight_decay=0.004, max_iter=5000, display=100, snapshot=4000,
                      snapshot_prefix="cifar10_quick")
    return nets("CIFAR10_quick", body, multipliers=((1, None), (2, None))) | {"solver.prototxt": schedule}


def gaussian(std: float) -> dict[str, object]:
    return {"type": "gaussian", "std": std}


def body(n: Sketch) -> None:
    """From pictures of 32 × 32, in RGB and without their mean, to the classes."""
    x = n.pictures("cifar10", (3, 32, 32), batch=100, crop=False, mirror=False, name="cifar",
                   transform={"mean_file": "cifar10_mean.binaryproto"})
    x = n.relu("relu1", n.pool("pool1", n.conv("conv1", x, 32, 5, pad=2, filler=gaussian(0.0001)), "MAX", 3, 2))
    x = n.pool("pool2", n.relu("relu2", n.conv("conv2", x, 32, 5, pad=2, filler=gaussian(0.01))), "AVE", 3, 2)
    x = n.pool("pool3", n.relu("relu3", n.conv("conv3", x, 64, 5, pad=2, filler=gaussian(0.01))), "AVE", 3, 2)
    x = n.inner("ip1", x, 64, filler=gaussian(0.1))
    n.classify(n.inner("ip2", x, 10, filler=gaussian(0.1)))
