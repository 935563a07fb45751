"""Logistic regression on rows of an HDF5 file."""

from layerforge.zoo.recipe import nets, solver
from layerforge.zoo.sketch import Sketch, Top


def texts() -> dict[str, str]:
    comment = "Caffe's schedule for the same example. The test takes 250 batches of 10."
    schedule = solver(comment, test_iter=[250], test_interval=1000, base_lr=0.01, lr_policy="step", gamma=0.1,
                      stepsize=5000, momentum=0.9, weight_decay=0.0005, max_iter=10000, display=1000, snapshot=10000,
                      snapshot_prefix="logistic_regression")
    return nets("LogisticRegressionNet", body) | {"solver.prototxt": schedule}


def rows(n: Sketch, features: int) -> Top:
    """Rows of numbers; train.txt and test.txt list the HDF5 files with the datasets data and label."""
    if not n.training:
        return n.input((1, features))
    parts = ({"hdf5_data_param": {"source": f"{part}.txt", "batch_size": 10}} for part in ("train", "test"))
    return n.source("HDF5Data", ("data", "label"), *parts)[0]


def body(n: Sketch) -> None:
    """From four numbers to two classes."""
    n.classify(n.inner("fc1", rows(n, 4), 2))
