"""Losses over labels."""

from types import MappingProxyType

import numpy as np
import pytest

from layerforge.core.errors import LayerError, LayerForgeError
from layerforge.layers.label_losses import HingeLoss, InfogainLoss, MultinomialLogisticLoss, SoftmaxWithLoss
from layerforge.schema.messages import message_class
from layerforge.testing import LayerTest, Rig


class TestSoftmaxWithLoss(LayerTest):
    layer = SoftmaxWithLoss
    cases = [
        dict(),
        dict(axis=-2),
        *(
            dict(loss_param=dict(normalization=mode, ignore_label=1))
            for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE")
        ),
        dict(loss_param=dict(normalization="VALID")),
        dict(loss_param=dict(normalize=True, ignore_label=255)),
        dict(loss_param=dict(normalize=False)),
        dict(loss_param=dict(weight_by_label_freqs=True, class_weighting=[0.5, 2, 1.5, 3], ignore_label=0)),
        dict(loss_param=dict(weight_by_label_freqs=True, class_weighting=[0.5, 2, 1.5, 3], normalization="NONE")),
    ]

    def inputs(self, rng):
        labels = rng.integers(0, 4, size=(3, 1, 5)) + 0.9 * rng.random((3, 1, 5))
        return [rng.normal(size=(3, 4, 5)), labels]

    def expected(self, x, labels, axis=1, loss_param=MappingProxyType({})):
        p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        index = labels.reshape(3, 5).astype(int)
        weights = loss_param.get("class_weighting", [1] * 4)
        valid = index != loss_param.get("ignore_label", 99)
        total = -sum(weights[index[n, k]] * np.log(p[n, index[n, k], k]) for n, k in np.argwhere(valid))
        mode = loss_param.get("normalization") or ("BATCH_SIZE" if loss_param.get("normalize") is False else "VALID")
        return total / {"FULL": 15, "VALID": valid.sum(), "BATCH_SIZE": 3, "NONE": 1}[mode]


class TestSoftmaxWithLossAndProbabilities(LayerTest):
    layer, tops = SoftmaxWithLoss, 2

    def inputs(self, rng):
        return [rng.normal(size=(3, 4)), np.array([3.0, 0, 1])]

    def expected(self, x, labels):
        p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        return -np.log(p[range(3), labels.astype(int)]).mean(), p


def test_a_probability_counts_as_at_least_flt_min():
    (loss,) = Rig(SoftmaxWithLoss, {}, [np.array([[0.0, 1000.0]]), np.array([0.0])]).forward()
    np.testing.assert_allclose(loss, -np.log(np.finfo(np.float32).tiny), rtol=1e-6)


def test_ignored_labels_alone_give_no_loss_and_no_gradient():
    case = dict(loss_param=dict(ignore_label=-1))
    rig = Rig(SoftmaxWithLoss, case, [np.ones((2, 3)), np.full(2, -1.0)])
    assert rig.forward()[0] == 0
    assert (rig.backward([1.0])[0] == 0).all()


@pytest.mark.parametrize("layer", [SoftmaxWithLoss, HingeLoss, MultinomialLogisticLoss])
@pytest.mark.parametrize("label", [3, -1, np.nan, np.inf])
def test_a_label_that_is_no_class_is_an_error(layer, label):
    rig = Rig(layer, {}, [np.ones((2, 3)), np.array([0, label])])
    with pytest.raises(LayerError, match=r"label \S+ at position 1, but there are 3 classes \(0 to 2\)"):
        rig.forward()


@pytest.mark.parametrize("layer", [SoftmaxWithLoss, HingeLoss, MultinomialLogisticLoss])
def test_a_gradient_for_labels_is_refused(layer):
    rig = Rig(layer, {}, [np.ones((2, 3)), np.zeros(2)])
    rig.forward()
    with pytest.raises(LayerError, match=r"bottom\[1\] cannot get a gradient"):
        rig.backward([1.0], [True, True])


@pytest.mark.parametrize("layer", [SoftmaxWithLoss, HingeLoss, MultinomialLogisticLoss])
def test_labels_must_be_as_many_as_predictions(layer):
    with pytest.raises(LayerError, match="4 labels for 2 predictions"):
        Rig(layer, {}, [np.ones((2, 3)), np.zeros((2, 2))])


def test_class_weights_must_be_as_many_as_classes():
    with pytest.raises(LayerError, match="class_weighting has 2 values for 3 classes"):
        Rig(
            SoftmaxWithLoss,
            dict(loss_param=dict(weight_by_label_freqs=True, class_weighting=[1, 2])),
            [np.ones((2, 3)), np.zeros(2)],
        )


class TestHingeLoss(LayerTest):
    layer, cases = HingeLoss, [dict(), dict(norm="L2")]

    def inputs(self, rng):
        return [rng.normal(size=(4, 2, 3)), np.array([5.0, 0, 2.5, 1])]

    def expected(self, x, labels, norm="L1"):
        sign = -np.ones((4, 6))
        sign[range(4), labels.astype(int)] = 1
        return (np.maximum(0, 1 - sign * x.reshape(4, 6)) ** (1 if norm == "L1" else 2)).sum() / 4


class TestMultinomialLogisticLoss(LayerTest):
    layer = MultinomialLogisticLoss

    def inputs(self, rng):
        return [rng.random((4, 3)) + 0.1, np.array([2.0, 0, 1, 1])]

    def expected(self, p, labels):
        return -np.log(p[range(4), labels.astype(int)]).mean()


class TestInfogainLoss(LayerTest):
    layer = InfogainLoss
    cases = [dict(), dict(loss_param=dict(ignore_label=1)), dict(loss_param=dict(normalization="BATCH_SIZE"), axis=-2)]

    def inputs(self, rng):
        return [rng.normal(size=(3, 4, 5)), rng.integers(0, 4, size=(3, 5)) + 0.5, rng.normal(size=(1, 1, 4, 4))]

    def expected(self, x, labels, gains, axis=1, loss_param=MappingProxyType({})):
        logs, index = np.log(np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)), labels.astype(int)
        items = [(n, k) for n, k in np.ndindex(3, 5) if index[n, k] != loss_param.get("ignore_label")]
        total = -sum(gains[0, 0, index[n, k]] @ logs[n, :, k] for n, k in items)
        return total / (3 if "normalization" in loss_param else len(items))


def matrix_file(path, values):
    blob = message_class("BlobProto")(num=1, channels=1, height=3, width=3, data=values)
    path.write_bytes(blob.SerializeToString())
    return str(path)


def test_infogain_loss_reads_its_matrix_from_a_file(tmp_path):
    source = matrix_file(tmp_path / "h.binaryproto", np.eye(3).ravel())
    x, labels = np.array([[0.5, 1, 2], [1, 0, 3]]), np.array([0.0, 2])
    rig = Rig(InfogainLoss, dict(source=source), [x, labels], tops=2)
    plain = Rig(SoftmaxWithLoss, {}, [x, labels], tops=2)
    for got, want in zip(rig.forward(), plain.forward()):
        np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_allclose(rig.backward([1.0])[0], plain.backward([1.0])[0], atol=1e-7)


def test_infogain_loss_finds_its_file_beside_the_prototxt(tmp_path):
    matrix_file(tmp_path / "h.binaryproto", np.eye(3).ravel())
    Rig(InfogainLoss, dict(source="h.binaryproto"), [np.zeros((2, 3)), np.zeros(2)], folder=str(tmp_path))


@pytest.mark.parametrize(
    "case, classes, said",
    [
        (dict(), 3, "where is the matrix"),
        (dict(source="h.binaryproto"), 4, r"4 classes need \(4, 4\)"),
        (dict(source="none.binaryproto"), 3, "is missing"),
        (dict(source="broken.binaryproto"), 3, "holds no whole BlobProto"),
        (dict(source="short.binaryproto"), 3, "has 8 values, 9 are needed"),
        (dict(source="h.binaryproto", loss_param=dict(normalize=True)), 3, "use normalization"),
    ],
)
def test_infogain_loss_refuses(tmp_path, case, classes, said):
    matrix_file(tmp_path / "h.binaryproto", np.eye(3).ravel())
    matrix_file(tmp_path / "short.binaryproto", range(8))
    (tmp_path / "broken.binaryproto").write_bytes(b"\xff" * 40)
    with pytest.raises(LayerForgeError, match=said):
        Rig(InfogainLoss, case, [np.zeros((2, classes)), np.zeros(2)], folder=str(tmp_path))
