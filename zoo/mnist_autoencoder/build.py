"""An autoencoder of MNIST: 784 pixels to 30 numbers and back (Hinton and Salakhutdinov 2006), trained as a whole."""

from layerforge.zoo.recipe import nets, solver
from layerforge.zoo.sketch import Sketch, Top

ENCODER, DECODER = (1000, 500, 250), (250, 500, 1000)


def texts() -> dict[str, str]:
    comment = "Caffe's schedule. Two test nets: on the 50,000 first training pictures, and on all 10,000 test pictures."
    schedule = solver(comment, test_state=[{"stage": ["test-on-train"]}, {"stage": ["test-on-test"]}],
                      test_iter=[500, 100], test_interval=500, test_compute_loss=True, base_lr=0.01, lr_policy="step",
                      gamma=0.1, stepsize=10000, momentum=0.9, weight_decay=0.0005, max_iter=65000, display=100,
                      snapshot=10000, snapshot_prefix="mnist_autoencoder")
    sparse = {"type": "gaussian", "std": 1, "sparse": 15}
    return nets("MNISTAutoencoder", body, filler=sparse, multipliers=((1, 1), (1, 0))) | {"solver.prototxt": schedule}


def pictures(n: Sketch) -> Top:
    """Grey pictures of 28 × 28, scaled to 0 ... 1."""
    if not n.training:
        return n.input((1, 1, 28, 28))

    def source(part: str) -> dict[str, object]:
        return {"transform_param": {"scale": 1 / 255},
                "data_param": {"source": f"mnist_{part}_lmdb", "batch_size": 100, "backend": "LMDB"}}

    x, = n.tops("Data", "data", ("data",), include={"phase": "TRAIN"}, **source("train"))
    for part in ("train", "test"):
        n.again("Data", "data", ("data",), include={"phase": "TEST", "stage": f"test-on-{part}"}, **source(part))
    return x


def body(n: Sketch) -> None:
    """From pictures to pictures."""
    x = data = pictures(n)
    for i, width in enumerate(ENCODER, start=1):
        x = n.layer("Sigmoid", f"encode{i}neuron", n.inner(f"encode{i}", x, width))
    x = n.inner("encode4", x, 30)
    for i, width in zip((4, 3, 2), DECODER):
        x = n.layer("Sigmoid", f"decode{i}neuron", n.inner(f"decode{i}", x, width))
    scores = n.inner("decode1", x, 784)
    made = n.layer("Sigmoid", "decode1neuron", scores)
    if n.training:
        flat = n.layer("Flatten", "flatdata", data)
        n.tops("SigmoidCrossEntropyLoss", "loss", ("cross_entropy_loss",), scores, flat, loss_weight=1)
        n.tops("EuclideanLoss", "loss", ("l2_error",), made, flat, loss_weight=0)
