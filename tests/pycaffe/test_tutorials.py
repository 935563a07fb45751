"""The ways of Caffe's tutorials: classification, learning LeNet, logistic regression, net surgery."""

from __future__ import annotations

import numpy as np
import pytest

import layerforge as caffe

pytestmark = pytest.mark.usefixtures("anywhere")

DEPLOY = """
name: "tiny"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 10 dim: 3 dim: 12 dim: 12 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "fc6" type: "InnerProduct" bottom: "pool1" top: "fc6"
        inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc6" top: "prob" }
"""


@pytest.fixture
def files(make_net, tmp_path):
    """A net, its weights, a mean and a picture."""
    import cv2

    make_net(DEPLOY, caffe.TEST).save("tiny.caffemodel")
    rng = np.random.default_rng(0)
    np.save(tmp_path / "mean.npy", rng.uniform(100, 125, (3, 16, 16)))
    cv2.imwrite(str(tmp_path / "cat.jpg"), cv2.resize(rng.integers(0, 256, (4, 5, 3), np.uint8), (30, 24)))
    (tmp_path / "words.txt").write_text("".join(f"n{i} thing {i}\n" for i in range(7)))


def test_classification(files):
    net = caffe.Net("net.prototxt", caffe.TEST, weights="tiny.caffemodel")
    mu = np.load("mean.npy").mean(1).mean(1)
    transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", mu)
    transformer.set_raw_scale("data", 255)
    transformer.set_channel_swap("data", (2, 1, 0))
    net.blobs["data"].reshape(50, 3, 12, 12)

    image = caffe.io.load_image("cat.jpg")
    transformed = transformer.preprocess("data", image)
    net.blobs["data"].data[...] = transformed
    output = net.forward()
    probabilities = output["prob"][0]
    labels = np.loadtxt("words.txt", str, delimiter="\t")
    best = probabilities.argsort()[::-1][:5]
    assert len(list(zip(probabilities[best], labels[best]))) == 5 and probabilities.argmax() == best[0]
    assert (net.blobs["prob"].data[0].argsort() == probabilities.argsort()).all()
    assert probabilities.sum() == pytest.approx(1, rel=1e-5) and (output["prob"] == probabilities).all()

    shapes = {name: blob.data.shape for name, blob in net.blobs.items()}
    assert shapes == {"data": (50, 3, 12, 12), "conv1": (50, 8, 10, 10), "pool1": (50, 8, 5, 5), "fc6": (50, 7),
                      "prob": (50, 7)}
    assert {name: (p[0].data.shape, p[1].data.shape) for name, p in net.params.items()} == {
        "conv1": ((8, 3, 3, 3), (8,)), "fc6": ((7, 200), (7,))}
    filters = net.params["conv1"][0].data
    assert filters.transpose(0, 2, 3, 1).shape == (8, 3, 3, 3) and net.blobs["conv1"].data[0, :4].shape == (4, 10, 10)

    want = 255 * caffe.io.resize_image(image, (12, 12))[:, :, ::-1].transpose(2, 0, 1) - mu[:, None, None]
    np.testing.assert_allclose(net.blobs["data"].data[7], want, rtol=1e-4, atol=1e-3)


LENET = """
layer {{ name: "data" type: "HDF5Data" top: "data" top: "label" include {{ phase: {phase} }}
        hdf5_data_param {{ source: "{part}.txt" batch_size: 16 }} }}
"""
BODY = """
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "score" type: "InnerProduct" bottom: "conv1" top: "score"
        inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "score" bottom: "label" top: "accuracy" include { phase: TEST } }
"""


def test_learning_in_a_loop(write):
    import h5py

    rng = np.random.default_rng(1)
    for part in ("train", "test"):
        label = rng.integers(0, 2, 64).astype(np.float32)
        write(f"{part}.txt", f"{part}.h5\n")
        with h5py.File(f"{part}.h5", "w") as file:
            file["data"] = rng.standard_normal((64, 1, 6, 6)).astype(np.float32) + label[:, None, None, None]
            file["label"] = label
    write("net.prototxt", LENET.format(phase="TRAIN", part="train") + LENET.format(phase="TEST", part="test") + BODY)
    write("solver.prototxt", """train_net: "net.prototxt" test_net: "net.prototxt" test_iter: 4 test_interval: 500
        base_lr: 0.05 momentum: 0.9 lr_policy: "inv" gamma: 0.0001 power: 0.75 max_iter: 1000 random_seed: 2
        snapshot_prefix: "lenet" """)
    solver = caffe.SGDSolver("solver.prototxt")
    solver.net.forward()
    solver.test_nets[0].forward()
    iterations, interval = 40, 20
    train_loss, test_accuracy, output = np.zeros(iterations), [], np.zeros((iterations, 8, 2))
    for it in range(iterations):
        solver.step(1)
        train_loss[it] = solver.net.blobs["loss"].data
        solver.test_nets[0].forward(start="conv1")  # the same batch again
        output[it] = solver.test_nets[0].blobs["score"].data[:8]
        if it % interval == interval - 1:
            correct = 0
            for _ in range(4):
                solver.test_nets[0].forward()
                scores, label = (solver.test_nets[0].blobs[name].data for name in ("score", "label"))
                correct += sum(scores.argmax(1) == label)
            test_accuracy.append(correct / 64)
    assert train_loss[-5:].mean() < 0.7 * train_loss[0] and test_accuracy[-1] > 0.9
    assert (output[0] != output[-1]).any()


def test_surgery_through_held_arrays(files, write):
    net = caffe.Net("net.prototxt", caffe.TEST, weights="tiny.caffemodel")
    fc_params = {"fc6": (net.params["fc6"][0].data, net.params["fc6"][1].data)}
    write("full.prototxt", DEPLOY.replace('"fc6" type: "InnerProduct"', '"fc6-conv" type: "Convolution"').replace(
        "inner_product_param { num_output: 7", "convolution_param { num_output: 7 kernel_size: 5"))
    full = caffe.Net("full.prototxt", caffe.TEST, weights="tiny.caffemodel")
    conv_params = {"fc6-conv": (full.params["fc6-conv"][0].data, full.params["fc6-conv"][1].data)}
    conv_params["fc6-conv"][0].flat = fc_params["fc6"][0].flat
    conv_params["fc6-conv"][1][...] = fc_params["fc6"][1]
    x = np.random.default_rng(0).standard_normal((10, 3, 12, 12))
    np.testing.assert_allclose(full.forward_all(data=x)["prob"][:, :, 0, 0], net.forward_all(data=x)["prob"],
                               rtol=1e-4, atol=1e-6)
    full.blobs["data"].reshape(1, 3, 20, 26)
    assert full.forward()["prob"][0].argmax(axis=0).shape == (5, 8)
