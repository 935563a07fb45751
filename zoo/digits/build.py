"""A small convolutional net for pictures of 8 × 8."""

from layerforge.zoo.recipe import nets, solver
from layerforge.zoo.sketch import Sketch


def texts() -> dict[str, str]:
    comment = ("The rate falls in a straight line: base_lr * (1 - iteration / max_iter). The test takes one batch "
               "of 359, all test pictures. The net and the databases are looked for here and in the working "
               "folder.")
    schedule = solver(comment, test_iter=[1], test_interval=250, base_lr=0.02, lr_policy="poly", power=1, momentum=0.9,
                      weight_decay=0.0005, max_iter=1500, display=50, snapshot=500, snapshot_prefix="digits",
                      random_seed=1)
    return nets("digits", body, filler="msra", multipliers=((1, None), (2, None))) | {"solver.prototxt": schedule}


def body(n: Sketch) -> None:
    """From grey pictures of 8 × 8, scaled from 0 ... 16 to 0 ... 1, to the digits."""
    x = n.pictures("digits", (1, 8, 8), batch=64, test_batch=359, crop=False, mirror=False, transform={"scale": 1 / 16})
    x = n.relu("relu1", n.conv("conv1", x, 32, 3, pad=1))
    x = n.relu("relu2", n.conv("conv2", x, 64, 3, pad=1))
    x = n.dropout("drop2", n.pool("pool2", x, "MAX", 2, 2), 0.25)
    x = n.dropout("drop3", n.relu("relu3", n.inner("ip1", x, 128)))
    n.classify(n.inner("ip2", x, 10, filler="xavier"))
