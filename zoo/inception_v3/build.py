"""Inception-v3: convolutions factorized into 1 × 7 and 7 × 1, pictures of 299 × 299."""

from layerforge.zoo.families.inception import chain, classify, pictures, schedule, unit
from layerforge.zoo.recipe import nets
from layerforge.zoo.sketch import Sketch, Top


def texts() -> dict[str, str]:
    return nets("Inception-v3", body) | {"solver.prototxt": schedule("inception_v3")}


def body(n: Sketch) -> None:
    """From pictures to the classes."""
    x = unit(n, "conv1_3x3_s2", pictures(n), 32, 3, 2, pad=False)
    x = unit(n, "conv3_3x3_s1", unit(n, "conv2_3x3_s1", x, 32, 3, pad=False), 64, 3)
    x = n.pool("pool1_3x3_s2", x, "MAX", 3, 2)
    x = unit(n, "conv4_3x3", unit(n, "conv4_3x3_reduce", x, 80, 1), 192, 3, pad=False)
    x = n.pool("pool2_3x3_s2", x, "MAX", 3, 2)
    for i, projected in enumerate((32, 64, 64), start=1):
        x = module_a(n, f"inception_a{i}", x, projected)
    x = reduction_a(n, x)
    for i, inside in enumerate((128, 160, 160, 192), start=1):
        x = module_b(n, f"inception_b{i}", x, inside)
    x = reduction_b(n, x)
    for i, method in enumerate(("AVE", "MAX"), start=1):
        x = module_c(n, f"inception_c{i}", x, method)
    classify(n, x)


def module_a(n: Sketch, m: str, x: Top, projected: int) -> Top:
    """35 × 35."""
    return n.concat(
        f"{m}_output", unit(n, f"{m}_1x1", x, 64, 1), chain(n, x, (f"{m}_5x5_reduce", 48, 1), (f"{m}_5x5", 64, 5)),
        chain(n, x, (f"{m}_3x3_reduce", 64, 1), (f"{m}_3x3_1", 96, 3), (f"{m}_3x3_2", 96, 3)),
        unit(n, f"{m}_pool_proj", n.pool(f"{m}_pool", x, "AVE", 3, 1, 1), projected, 1))


def reduction_a(n: Sketch, x: Top) -> Top:
    """35 × 35 to 17 × 17."""
    m = "reduction_a"
    y = chain(n, x, (f"{m}_3x3_2_reduce", 64, 1), (f"{m}_3x3_2", 96, 3))
    return n.concat(f"{m}_concat", unit(n, f"{m}_3x3", x, 384, 3, 2, pad=False),
                    unit(n, f"{m}_3x3_3", y, 96, 3, 2, pad=False), n.pool(f"{m}_pool", x, "MAX", 3, 2))


def module_b(n: Sketch, m: str, x: Top, k: int) -> Top:
    """17 × 17; k channels inside."""
    return n.concat(
        f"{m}_concat", unit(n, f"{m}_1x1_2", x, 192, 1),
        chain(n, x, (f"{m}_1x7_reduce", k, 1), (f"{m}_1x7", k, (1, 7)), (f"{m}_7x1", 192, (7, 1))),
        chain(n, x, (f"{m}_7x1_reduce", k, 1), (f"{m}_7x1_2", k, (7, 1)), (f"{m}_1x7_2", k, (1, 7)),
              (f"{m}_7x1_3", k, (7, 1)), (f"{m}_1x7_3", 192, (1, 7))),
        unit(n, f"{m}_1x1", n.pool(f"{m}_pool_ave", x, "AVE", 3, 1, 1), 192, 1))


def reduction_b(n: Sketch, x: Top) -> Top:
    """17 × 17 to 8 × 8."""
    m = "reduction_b"
    y = chain(n, x, (f"{m}_1x7_reduce", 192, 1), (f"{m}_1x7", 192, (1, 7)), (f"{m}_7x1", 192, (7, 1)))
    return n.concat(f"{m}_concat", unit(n, f"{m}_3x3", unit(n, f"{m}_3x3_reduce", x, 192, 1), 320, 3, 2, pad=False),
                    unit(n, f"{m}_3x3_2", y, 192, 3, 2, pad=False), n.pool(f"{m}_pool", x, "MAX", 3, 2))


def module_c(n: Sketch, m: str, x: Top, method: str) -> Top:
    """8 × 8; ways that part again into 1 × 3 and 3 × 1."""
    y = unit(n, f"{m}_1x3_reduce", x, 384, 1)
    z = chain(n, x, (f"{m}_3x3_reduce", 448, 1), (f"{m}_3x3", 384, 3))
    return n.concat(
        f"{m}_concat", unit(n, f"{m}_1x1_2", x, 320, 1),
        unit(n, f"{m}_1x3", y, 384, (1, 3)), unit(n, f"{m}_3x1", y, 384, (3, 1)),
        unit(n, f"{m}_1x3_2", z, 384, (1, 3)), unit(n, f"{m}_3x1_2", z, 384, (3, 1)),
        unit(n, f"{m}_1x1", n.pool(f"{m}_pool", x, method, 3, 1, 1), 192, 1))
