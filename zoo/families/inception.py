"""What Inception-v3 and Inception-v4 share: units, and the schedule."""

from __future__ import annotations

from layerforge.zoo.recipe import imagenet_solver
from layerforge.zoo.sketch import Sketch, Top


def unit(
    n: Sketch, name: str, x: Top, outputs: int, kernel: int | tuple[int, int], stride: int = 1, pad: bool = True,
) -> Top:
    """A convolution without offsets, normalized, and its activation. With `pad`, stride 1 keeps the picture's size."""
    half = tuple(k // 2 for k in kernel) if isinstance(kernel, tuple) else kernel // 2
    x = n.conv(name, x, outputs, kernel, stride, half if pad else 0, bias=False)
    return n.relu(f"{name}_relu", n.norm((f"{name}_bn", f"{name}_scale"), x, eps=0.001))


def chain(n: Sketch, x: Top, *units: tuple[str, int, int | tuple[int, int]]) -> Top:
    """Units one after the other: name, outputs, kernel."""
    for name, outputs, kernel in units:
        x = unit(n, name, x, outputs, kernel)
    return x


def pictures(n: Sketch) -> Top:
    """Pictures of 299 × 299, scaled to -1 ... 1."""
    return n.imagenet(299, 32, mean=(128, 128, 128), scale=0.0078125)


def classify(n: Sketch, x: Top) -> None:
    """The average over the picture, dropout, and the classes."""
    x = n.dropout("pool_8x8_s1_drop", n.pool("pool_8x8_s1", x, "AVE"), 0.2)
    n.classify(n.inner("classifier", x, 1000), top5="accuracy_top5")


def schedule(prefix: str) -> str:
    """The solver of both papers."""
    comment = ("The paper's schedule: RMSProp, 6 % off the rate every two epochs (here of batches of 32), "
               "gradients clipped. The paper trains 50 copies side by side.")
    return imagenet_solver(comment, prefix, type="RMSProp", rms_decay=0.9, delta=1, momentum=0, base_lr=0.045,
                           lr_policy="step", gamma=0.94, stepsize=80000, max_iter=4000000, weight_decay=0.00004,
                           clip_gradients=2)
