"""FCN-S of the 2017 survey: five fully connected layers (with input and output), about 55 million parameters."""

from layerforge.zoo.families.survey import made_up, schedule
from layerforge.zoo.recipe import nets
from layerforge.zoo.sketch import Sketch

WIDTH = 26752  # numbers in, classes out


def texts() -> dict[str, str]:
    return nets("FCN-S", body) | {"solver.prototxt": schedule("survey_fcn_s")}


def body(n: Sketch) -> None:
    """From rows of numbers to classes."""
    x = made_up(n, (WIDTH,), batch=64)
    for i in (1, 2, 3):
        x = n.relu(f"H{i}_A", n.inner(f"H{i}", x, 1000), "Sigmoid")
    n.classify(n.inner("L", x, WIDTH))
