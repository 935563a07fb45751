"""Inception-v4: a deeper and more regular Inception-v3."""

from layerforge.zoo.families.inception import chain, classify, pictures, schedule, unit
from layerforge.zoo.recipe import nets
from layerforge.zoo.sketch import Sketch, Top


def texts() -> dict[str, str]:
    return nets("Inception-v4", body) | {"solver.prototxt": schedule("inception_v4")}


def body(n: Sketch) -> None:
    """From pictures to the classes."""
    x = stem(n, pictures(n))
    for i in range(1, 5):
        x = module_a(n, f"inception_a{i}", x)
    x = reduction_a(n, x)
    for i in range(1, 8):
        x = module_b(n, f"inception_b{i}", x)
    x = reduction_b(n, x)
    for i in range(1, 4):
        x = module_c(n, f"inception_c{i}", x)
    classify(n, x)


def stem(n: Sketch, x: Top) -> Top:
    """299 × 299 to 35 × 35."""
    x = unit(n, "conv2_3x3_s1", unit(n, "conv1_3x3_s2", x, 32, 3, 2, pad=False), 32, 3, pad=False)
    x, m = unit(n, "conv3_3x3_s1", x, 64, 3), "inception_stem"
    x = n.concat(f"{m}1", n.pool(f"{m}1_pool", x, "MAX", 3, 2), unit(n, f"{m}1_3x3_s2", x, 96, 3, 2, pad=False))
    y = chain(n, x, (f"{m}2_1x7_reduce", 64, 1), (f"{m}2_1x7", 64, (1, 7)), (f"{m}2_7x1", 64, (7, 1)))
    x = n.concat(f"{m}2", unit(n, f"{m}2_3x3", unit(n, f"{m}2_3x3_reduce", x, 64, 1), 96, 3, pad=False),
                 unit(n, f"{m}2_3x3_2", y, 96, 3, pad=False))
    return n.concat(f"{m}3", unit(n, f"{m}3_3x3_s2", x, 192, 3, 2, pad=False), n.pool(f"{m}3_pool", x, "MAX", 3, 2))


def pooled(n: Sketch, m: str, x: Top, outputs: int) -> Top:
    """Average pooling and a projection."""
    return unit(n, f"{m}_1x1", n.pool(f"{m}_pool_ave", x, "AVE", 3, 1, 1), outputs, 1)


def module_a(n: Sketch, m: str, x: Top) -> Top:
    """35 × 35."""
    return n.concat(
        f"{m}_concat", unit(n, f"{m}_1x1_2", x, 96, 1), chain(n, x, (f"{m}_3x3_reduce", 64, 1), (f"{m}_3x3", 96, 3)),
        chain(n, x, (f"{m}_3x3_2_reduce", 64, 1), (f"{m}_3x3_2", 96, 3), (f"{m}_3x3_3", 96, 3)), pooled(n, m, x, 96))


def reduction_a(n: Sketch, x: Top) -> Top:
    """35 × 35 to 17 × 17."""
    m = "reduction_a"
    y = chain(n, x, (f"{m}_3x3_2_reduce", 192, 1), (f"{m}_3x3_2", 224, 3))
    return n.concat(f"{m}_concat", unit(n, f"{m}_3x3", x, 384, 3, 2, pad=False),
                    unit(n, f"{m}_3x3_3", y, 256, 3, 2, pad=False), n.pool(f"{m}_pool", x, "MAX", 3, 2))


def module_b(n: Sketch, m: str, x: Top) -> Top:
    """17 × 17."""
    return n.concat(
        f"{m}_concat", unit(n, f"{m}_1x1_2", x, 384, 1),
        chain(n, x, (f"{m}_1x7_reduce", 192, 1), (f"{m}_1x7", 224, (1, 7)), (f"{m}_7x1", 256, (7, 1))),
        chain(n, x, (f"{m}_7x1_2_reduce", 192, 1), (f"{m}_7x1_2", 192, (7, 1)), (f"{m}_1x7_2", 224, (1, 7)),
              (f"{m}_7x1_3", 224, (7, 1)), (f"{m}_1x7_3", 256, (1, 7))), pooled(n, m, x, 128))


def reduction_b(n: Sketch, x: Top) -> Top:
    """17 × 17 to 8 × 8."""
    m = "reduction_b"
    y = chain(n, x, (f"{m}_1x7_reduce", 256, 1), (f"{m}_1x7", 256, (1, 7)), (f"{m}_7x1", 320, (7, 1)))
    return n.concat(f"{m}_concat", unit(n, f"{m}_3x3", unit(n, f"{m}_3x3_reduce", x, 192, 1), 192, 3, 2, pad=False),
                    unit(n, f"{m}_3x3_2", y, 320, 3, 2, pad=False), n.pool(f"{m}_pool", x, "MAX", 3, 2))


def module_c(n: Sketch, m: str, x: Top) -> Top:
    """8 × 8; ways that part again into 1 × 3 and 3 × 1."""
    y = unit(n, f"{m}_1x1_3", x, 384, 1)
    z = chain(n, x, (f"{m}_1x1_4", 384, 1), (f"{m}_3x1_2", 448, (3, 1)), (f"{m}_1x3_2", 512, (1, 3)))
    return n.concat(
        f"{m}_concat", unit(n, f"{m}_1x1_2", x, 256, 1),
        unit(n, f"{m}_1x3", y, 256, (1, 3)), unit(n, f"{m}_3x1", y, 256, (3, 1)),
        unit(n, f"{m}_1x3_3", z, 256, (1, 3)), unit(n, f"{m}_3x1_3", z, 256, (3, 1)), pooled(n, m, x, 256))
