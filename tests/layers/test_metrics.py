"""Accuracy and SegAccuracy."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.metrics import Accuracy, SegAccuracy
from layerforge.testing import LayerTest, Rig


class TestAccuracy(LayerTest):
    layer, gradient, tops = Accuracy, False, 2
    cases = [dict(), dict(top_k=2), dict(top_k=4), dict(ignore_label=1, top_k=2), dict(axis=-2)]

    def inputs(self, rng):
        labels = rng.integers(0, 3, size=(6, 5))  # class 3 does not occur
        return [rng.integers(0, 6, size=(6, 4, 5)).astype(float), labels + 0.9 * rng.random(labels.shape)]

    def expected(self, x, labels, top_k=1, ignore_label=None, axis=1):
        hits, items = np.zeros(4), np.zeros(4)
        for n, k in np.ndindex(labels.shape):
            label = int(labels[n, k])
            if label != ignore_label:
                items[label] += 1
                hits[label] += (x[n, :, k] >= x[n, label, k]).sum() <= top_k
        return hits.sum() / max(1, items.sum()), hits / np.maximum(items, 1)


def accuracy(x, labels, **case):
    return float(Rig(Accuracy, case, [np.array(x), np.array(labels)]).forward()[0])


def test_scores_equal_to_the_labels_count_as_better():
    assert accuracy([[1.0, 1.0]], [0]) == 0
    assert accuracy([[1.0, 1.0]], [0], top_k=2) == 1


def test_nothing_but_ignored_labels_gives_zero():
    assert accuracy([[1.0, 0.0]], [255], ignore_label=255) == 0


@pytest.mark.parametrize("label", [3, -1, 1e9, np.nan])
def test_a_label_that_is_no_class_is_an_error(label):
    with pytest.raises(LayerError, match=r"at position 1, but there are 2 classes"):
        accuracy([[1.0, 0.0], [0.0, 1.0]], [0, label])


def test_top_k_beyond_the_classes_is_refused():
    with pytest.raises(LayerError, match="top_k: 3, but there are 2 classes"):
        accuracy([[1.0, 0.0]], [0], top_k=3)


def test_labels_must_fit_the_predictions():
    with pytest.raises(LayerError, match="3 labels for 1 predictions"):
        accuracy([[1.0, 0.0]], [0, 1, 1])


class TestSegAccuracy(LayerTest):
    layer, gradient = SegAccuracy, False
    cases = [dict(), dict(ignore_label=[1]), dict(ignore_label=[2, 0])]

    def inputs(self, rng):
        return [rng.integers(0, 3, size=(2, 5, 4)).astype(float), rng.integers(0, 4, size=(2, 4)) + 0.5]

    def expected(self, x, labels, ignore_label=()):
        counts = np.zeros((5, 5))
        for n, k in np.ndindex(2, 4):
            if int(labels[n, k]) not in ignore_label:
                counts[int(labels[n, k]), 4 - x[n, ::-1, k].argmax()] += 1
        hits, rows, union = (
            counts.diagonal(),
            counts.sum(axis=1),
            counts.sum(axis=0) + counts.sum(axis=1) - counts.diagonal(),
        )
        recall, overlap = hits[rows > 0] / rows[rows > 0], np.where(union == 0, 1, hits / np.maximum(union, 1))
        return np.array([hits.sum() / counts.sum(), recall.mean(), overlap.mean()]).reshape(1, 1, 1, 3)


@pytest.mark.parametrize("reset, want", [(True, 1), (False, 0.5)])
def test_seg_accuracy_counts_on_without_reset(reset, want):
    rig = Rig(SegAccuracy, dict(reset=reset), [np.array([[1.0, 0]]), np.array([1.0])])
    assert rig.forward()[0][0, 0, 0, 0] == 0
    assert rig.forward([np.array([[0, 1.0]]), np.array([1.0])])[0][0, 0, 0, 0] == want
