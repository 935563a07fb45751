"""Fully convolutional nets (Long, Shelhamer, Darrell 2014): VGG-16 as convolutions, scores of the picture's size.

Upsampling starts bilinear, each class by itself, and stays so. The authors' weights hold whole matrices of classes
there, of which only the diagonal is used: the stage `published` takes them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from layerforge.io.weights import copy_weights, read_weights
from layerforge.zoo.families import vgg
from layerforge.zoo.recipe import nets, solver
from layerforge.zoo.sketch import Sketch, Top

CLASSES = 21
SIDE = 500  # the longer side of most pictures of PASCAL VOC
MEAN = [104.00699, 116.66877, 122.67892]


def texts(stride: int, base_lr: float) -> dict[str, str]:
    """The files of the model whose scores have this stride: 32, 16 or 8."""
    comment = ("The authors' schedule: one picture at a time, much momentum, and a low rate because the loss is a sum "
               f"over pixels. Start from {'VGG-16' if stride == 32 else f'fcn{2 * stride}s'}.")
    schedule = solver(comment, test_iter=[736], test_interval=4000, test_initialization=False, base_lr=base_lr,
                      lr_policy="fixed", display=20, average_loss=20, momentum=0.99, weight_decay=0.0005,
                      max_iter=100000, snapshot=4000, snapshot_prefix=f"fcn{stride}s")
    made = nets(f"FCN-{stride}s", partial(body, stride=stride), filler=None)
    return made | {"solver.prototxt": schedule}


def body(n: Sketch, stride: int) -> None:
    """From a picture of any size to a class for each pixel."""
    data, label = pictures(n)
    x, poolings = vgg.convolutions(n, data, (2, 2, 3, 3, 3), first_pad=100)
    for i, kernel in (("6", 7), ("7", 1)):
        x = n.dropout(f"drop{i}", n.relu(f"relu{i}", n.conv(f"fc{i}", x, 4096, kernel)))
    x = n.conv("score_fr", x, CLASSES, 1)
    # How far the padding of 100 has moved the scores: where the picture begins in them.
    if stride < 32:
        x = fuse(n, "pool4", upscore(n, "upscore2", x, 2), poolings[3], 5)
    if stride < 16:
        x = fuse(n, "pool3", upscore(n, "upscore_pool4", x, 2), poolings[2], 9)
    x = upscore(n, "upscore" if stride == 32 else f"upscore{stride}", x, stride)
    score = n.layer("Crop", "score", x, data, crop_param={"axis": 2, "offset": {32: 19, 16: 27, 8: 31}[stride]})
    if label is not None:
        n.layer("SoftmaxWithLoss", "loss", score, label, loss_param={"ignore_label": 255, "normalize": False})
        n.layer("Accuracy", "accuracy", score, label, accuracy_param={"ignore_label": 255}, include={"phase": "TEST"})


def pictures(n: Sketch) -> tuple[Top, Top | None]:
    """Pictures and pictures of labels, each from a database of its own, in the same order."""
    if not n.training:
        return n.input((1, 3, SIDE, SIDE)), None
    parts: dict[str, list[dict[str, Any]]] = {"data": [], "label": []}
    for part in ("train", "val"):
        for name, suffix in (("data", ""), ("label", "_labels")):
            source = {"source": f"voc_{part}{suffix}_lmdb", "batch_size": 1, "backend": "LMDB"}
            transform = {"transform_param": {"mean_value": MEAN}} if name == "data" else {}
            parts[name].append({"data_param": source} | transform)
    data, = n.source("Data", ("data",), *parts["data"], name="data")
    label, = n.source("Data", ("label",), *parts["label"], name="label")
    return data, label


def upscore(n: Sketch, name: str, x: Top, factor: int) -> Top:
    """Scores brought to a finer grid."""
    window = {"num_output": CLASSES, "bias_term": False, "kernel_size": 2 * factor, "stride": factor}
    fixed = {"param": [{"lr_mult": 0}]}
    made = n.layer("Deconvolution", name, x, exclude={"stage": "published"}, **fixed,
                   convolution_param=window | {"group": CLASSES, "weight_filler": {"type": "bilinear"}})
    n.again("Deconvolution", name, [name], x, convolution_param=window, include={"stage": "published"}, **fixed)
    return made


def fuse(n: Sketch, pool: str, x: Top, y: Top, offset: int) -> Top:
    """Adds the scores of an earlier pooling."""
    scores = n.conv(f"score_{pool}", y, CLASSES, 1)
    scores = n.layer("Crop", f"score_{pool}c", scores, x, crop_param={"axis": 2, "offset": offset})
    return n.add(f"fuse_{pool}", x, scores)


def start_from_vgg(net: Any, path: str) -> None:
    """Takes VGG-16's weights into an FCN: fc6 and fc7 become convolutions, fc8 is left out. `net`: a pycaffe Net."""
    core = net._net
    layers = [layer for layer in read_weights(path) if layer.name != "fc8"]
    for layer in layers:
        if layer.name in ("fc6", "fc7"):
            layer.blobs[0] = layer.blobs[0].reshape(core.params[layer.name][0].shape)
    copy_weights(layers, core, path)
