"""cifar10_full: Caffe's better net for CIFAR-10, with normalization within channels."""

from layerforge.zoo.recipe import nets, solver
from layerforge.zoo.sketch import Sketch, Top


def texts() -> dict[str, str]:
    comment = ("Caffe's schedule: 60,000 iterations at 0.001, then 5,000 at a tenth and 5,000 at a hundredth of "
               "it. Caffe's own has a solver for each part, which goes on from the snapshot before.")
    schedule = solver(comment, test_iter=[100], test_interval=1000, base_lr=0.001, lr_policy="multistep", gamma=0.1,
                      stepvalue=[60000, 65000], momentum=0.9, weight_decay=0.004, max_iter=70000, display=200,
                      snapshot=10000, snapshot_prefix="cifar10_full")
    return nets("CIFAR10_full", body, multipliers=((1, None), (2, None))) | {"solver.prototxt": schedule}


def gaussian(std: float) -> dict[str, object]:
    return {"type": "gaussian", "std": std}


def norm(n: Sketch, name: str, x: Top) -> Top:
    return n.lrn(name, x, size=3, alpha=0.00005, norm_region="WITHIN_CHANNEL")


def body(n: Sketch) -> None:
    """From pictures of 32 × 32, in RGB and without their mean, to the classes."""
    x = n.pictures("cifar10", (3, 32, 32), batch=100, crop=False, mirror=False, name="cifar",
                   transform={"mean_file": "cifar10_mean.binaryproto"})
    x = n.conv("conv1", x, 32, 5, pad=2, filler=gaussian(0.0001))
    x = norm(n, "norm1", n.relu("relu1", n.pool("pool1", x, "MAX", 3, 2)))
    x = n.relu("relu2", n.conv("conv2", x, 32, 5, pad=2, filler=gaussian(0.01)))
    x = norm(n, "norm2", n.pool("pool2", x, "AVE", 3, 2))
    alike = [{"lr_mult": 1}, {"lr_mult": 1}]
    x = n.relu("relu3", n.conv("conv3", x, 64, 5, pad=2, filler=gaussian(0.01), param=alike))
    # Only the last layer is held back by decay, 250 times as much as the solver says.
    decay = [{"lr_mult": 1, "decay_mult": 250}, {"lr_mult": 2, "decay_mult": 0}]
    n.classify(n.inner("ip1", n.pool("pool3", x, "AVE", 3, 2), 10, filler=gaussian(0.01), param=decay))
