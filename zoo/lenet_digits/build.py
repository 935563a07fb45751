"""LeNet, trained on MNIST, taught to read the smaller digits that ship with the project: an example of fine-tuning."""

from layerforge.zoo.recipe import nets, solver
from layerforge.zoo.sketch import Sketch


def texts() -> dict[str, str]:
    comment = ("A low rate, so that what the net knows is not lost; the new layer learns ten times as fast. The test "
               "takes one batch of 359, all test pictures.")
    schedule = solver(comment, test_iter=[1], test_interval=50, base_lr=0.002, lr_policy="poly", power=1, momentum=0.9,
                      weight_decay=0.0005, max_iter=300, display=50, snapshot=300, snapshot_prefix="lenet_digits",
                      random_seed=1)
    return nets("LeNet-digits", body, multipliers=((1, None), (2, None))) | {"solver.prototxt": schedule}


def body(n: Sketch) -> None:
    """From grey pictures of 8 × 8, enlarged to MNIST's 28 × 28, to the digits."""
    x = n.pictures("digits", (1, 8, 8), batch=64, test_batch=359, crop=False, mirror=False, transform={"scale": 1 / 16})
    x = n.layer("Interp", "enlarged", x, interp_param={"height": 28, "width": 28})
    x = n.pool("pool1", n.conv("conv1", x, 20, 5), "MAX", 2, 2)
    x = n.pool("pool2", n.conv("conv2", x, 50, 5), "MAX", 2, 2)
    x = n.relu("relu1", n.inner("ip1", x, 500))
    # Another name than LeNet's ip2: the weights of that layer are not taken over, and this one starts afresh.
    n.classify(n.inner("ip2_digits", x, 10, param=[{"lr_mult": 10}, {"lr_mult": 20}]))
