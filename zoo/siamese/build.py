"""A siamese net: two copies of LeNet with one set of weights, which lay alike digits near each other."""

from layerforge.zoo.recipe import nets, solver
from layerforge.zoo.sketch import Sketch, Top


def texts() -> dict[str, str]:
    comment = "Caffe's schedule. The test takes 100 batches of 100 pairs."
    schedule = solver(comment, test_iter=[100], test_interval=500, base_lr=0.01, lr_policy="inv", gamma=0.0001,
                      power=0.75, momentum=0.9, weight_decay=0, max_iter=50000, display=100, snapshot=5000,
                      snapshot_prefix="siamese")
    return nets("mnist_siamese", body) | {"solver.prototxt": schedule}


def body(n: Sketch) -> None:
    """From pairs of grey pictures in two channels, scaled to 0 ... 1, to two points in the plane."""
    if not n.training:
        branch(n, n.input((1, 1, 28, 28)), "")
        return
    pair, similar = n.source("Data", ("pair_data", "sim"), *(
        {"transform_param": {"scale": 1 / 256},
         "data_param": {"source": f"mnist_siamese_{part}_lmdb", "batch_size": batch, "backend": "LMDB"}}
        for part, batch in (("train", 64), ("test", 100))), name="pair_data")
    half = {"slice_dim": 1, "slice_point": 1}
    left, right = n.tops("Slice", "slice_pair", ("data", "data_p"), pair, slice_param=half)
    points = [branch(n, x, suffix) for x, suffix in ((left, ""), (right, "_p"))]
    n.layer("ContrastiveLoss", "loss", *points, similar, contrastive_loss_param={"margin": 1})


def branch(n: Sketch, x: Top, suffix: str) -> Top:
    """One copy; parameters of one name are one."""
    def shared(name: str) -> dict[str, object]:
        return {"param": [{"name": f"{name}_w", "lr_mult": 1}, {"name": f"{name}_b", "lr_mult": 2}]}

    for i, outputs in ((1, 20), (2, 50)):
        x = n.conv(f"conv{i}{suffix}", x, outputs, 5, **shared(f"conv{i}"))
        x = n.pool(f"pool{i}{suffix}", x, "MAX", 2, 2)
    x = n.relu(f"relu1{suffix}", n.inner(f"ip1{suffix}", x, 500, **shared("ip1")))
    return n.inner(f"feat{suffix}", n.inner(f"ip2{suffix}", x, 10, **shared("ip2")), 2, **shared("feat"))
