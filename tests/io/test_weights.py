"""Weights between files and nets."""

import logging
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from layerforge.core.blob import Blob
from layerforge.core.errors import DataError, NetError
from layerforge.core.storage import HOST
from layerforge.io.weights import (
    LayerWeights,
    copy_weights,
    load_weights,
    net_weights,
    read_weights,
    save_weights,
    upgrade_caffemodel,
    write_weights,
)
from layerforge.net.build import build_net
from layerforge.schema.messages import message_class
from layerforge.schema.read import parse_net, read_binary_net, read_net

MODEL = Path(__file__).parents[1] / "golden" / "files" / "model"
FILES = ["small.caffemodel", "small.caffemodel.h5"]


def blob(*shape, of=None):
    made = Blob(shape)
    if of is not None:
        made.share_data(of)
        made.share_diff(of)
    return made


def net(**params):
    return SimpleNamespace(name="n", params=params)


def values(blob):
    return blob.data.array(HOST).reshape(blob.shape)


@pytest.fixture
def small():
    return build_net(read_net(MODEL / "small.prototxt"))


def test_both_formats_hold_the_same_weights():
    binary, hdf5 = ({layer.name: layer for layer in read_weights(MODEL / name)} for name in FILES)
    assert set(binary) == set(hdf5)
    for name, layer in binary.items():
        assert len(layer.blobs) == len(hdf5[name].blobs)
        for a, b in zip(layer.blobs, hdf5[name].blobs):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", FILES)
def test_a_net_takes_the_weights_of_a_file(small, name):
    report = load_weights(small, MODEL / name)
    assert sorted(report.taken) == ["bn1", "conv1", "ip-1", "prelu1", "scale1"] and report.not_in_file == []
    expected = {layer.name: layer for layer in read_weights(MODEL / name)}
    np.testing.assert_array_equal(values(small.params["ip-1"][0]), expected["ip-1"].blobs[0])


@pytest.mark.parametrize("ending", [".caffemodel", ".caffemodel.h5"])
def test_saved_weights_come_back(small, tmp_path, ending):
    load_weights(small, MODEL / "small.caffemodel")
    save_weights(small, tmp_path / f"w{ending}")
    again, saved = read_weights(MODEL / "small.caffemodel"), {x.name: x for x in read_weights(tmp_path / f"w{ending}")}
    assert all(np.array_equal(a, b) for layer in again for a, b in zip(layer.blobs, saved[layer.name].blobs))


def test_hdf5_has_caffes_layout(small, tmp_path):
    load_weights(small, MODEL / "small.caffemodel")
    save_weights(small, tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as mine, h5py.File(MODEL / "small.caffemodel.h5") as caffes:
        assert set(mine) == {"data"} and set(mine["data"]) == set(caffes["data"])
        dataset = mine["data/conv1/0"]
        assert dataset.dtype == np.dtype("<f4") and dataset.shape == (4, 1, 3, 3) and dataset.chunks is None
        assert len(mine["data/pool1"]) == 0


def test_gradients_are_saved_when_asked(tmp_path):
    n = net(a=[blob(2)])
    n.params["a"][0].diff.set(np.array([1.0, 2.0]))
    for name in ("w.caffemodel", "w.caffemodel.h5"):
        save_weights(n, tmp_path / name, diffs=True)
        assert read_weights(tmp_path / name)[0].diffs[0].tolist() == [1.0, 2.0]


def test_layers_of_one_side_are_skipped_and_reported(caplog):
    n = net(a=[blob(2)], b=[blob(1)])
    with caplog.at_level(logging.INFO, "layerforge"):
        report = copy_weights([LayerWeights("a", "T", [np.ones(2)]), LayerWeights("x", "T", [np.ones(1)])], n, "f")
    assert (report.taken, report.not_in_net, report.not_in_file) == (["a"], ["x"], ["b"])
    assert "Ignoring source layer x" in caplog.text and values(n.params["a"][0]).tolist() == [1, 1]


def test_a_file_for_another_net_gives_a_warning(caplog):
    copy_weights([LayerWeights("x", "T", [np.ones(1)])], net(a=[blob(2)]), "f")
    assert "f has weights for no layer of the net: it has x, the net a" in caplog.text


def test_four_old_numbers_mean_the_same_without_leading_ones():
    n = net(ip=[blob(5, 64), blob(5)])
    ones = [np.ones((1, 1, 5, 64)), np.ones((1, 1, 1, 5))]
    assert copy_weights([LayerWeights("ip", "", ones, [True, True])], n).taken == ["ip"]
    with pytest.raises(NetError, match=r"blob 0 is \(1, 1, 5, 64\) in f, the net needs \(5, 64\)"):
        copy_weights([LayerWeights("ip", "", ones[:1] + [np.ones(5)], [False, False])], n, "f")


def test_a_misfit_names_place_layer_file_and_both_shapes():
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }'
    )
    n = build_net(parse_net(text, "net.prototxt"))
    with pytest.raises(NetError) as caught:
        copy_weights([LayerWeights("ip", "", [np.ones((2, 4)), np.ones(2)])], n, "runs/w.caffemodel")
    assert str(caught.value).startswith(
        "net.prototxt:2: layer 'ip' (InnerProduct): blob 0 is (2, 4) in w.caffemodel, the net needs (2, 3)\n  hint: "
    )


def test_all_misfits_come_in_one_error_and_nothing_is_taken():
    n = net(a=[blob(2)], b=[blob(1), blob(1)], c=[blob(3)])
    weights = [
        LayerWeights("c", "", [np.ones(3)]),
        LayerWeights("a", "", [np.ones(5)]),
        LayerWeights("b", "", [np.ones(1)]),
    ]
    with pytest.raises(NetError) as caught:
        copy_weights(weights, n, "f")
    assert "f does not fit the net in 2 places" in str(caught.value)
    assert "layer 'a': blob 0 is (5,) in f, the net needs (2,)" in str(caught.value)
    assert "layer 'b': there are 1 blobs in f, the net needs 2" in str(caught.value)
    assert values(n.params["c"][0]).tolist() == [0, 0, 0]


def test_a_layer_with_blobs_for_a_layer_without_is_a_misfit():
    n = SimpleNamespace(name="", params={}, layer_names=["relu"], layers=[SimpleNamespace(type="ReLU")])
    with pytest.raises(NetError, match="layer 'relu': there are 1 blobs in f, the net needs 0"):
        copy_weights([LayerWeights("relu", "", [np.ones(1)])], n, "f")


def test_doubles_and_half_precision_become_the_nets_type():
    n = net(a=[blob(1)], b=[blob(1)])
    copy_weights([LayerWeights("a", "", [np.array([0.1])]), LayerWeights("b", "", [np.array([0.5], np.float16)])], n)
    assert values(n.params["a"][0])[0] == np.float32(0.1) and values(n.params["b"][0])[0] == 0.5


def test_shared_blobs_are_stored_once_in_hdf5_and_need_not_be_there(tmp_path):
    w = blob(2)
    n = net(a=[w], b=[blob(2, of=w), blob(1)])
    w.data.set(np.array([1.0, 2.0]))
    save_weights(n, tmp_path / "w.h5")
    assert [layer.blobs[0] is None for layer in read_weights(tmp_path / "w.h5")] == [False, True]
    w.data.set(np.zeros(2))
    assert load_weights(n, tmp_path / "w.h5").taken == ["a", "b"] and values(w).tolist() == [1.0, 2.0]
    assert [layer.blobs[0] is None for layer in net_weights(n)] == [False, False]


def test_names_with_slashes_survive_in_hdf5(tmp_path):
    layers = [
        LayerWeights("inception/1x1", "", [np.ones(2)]),
        LayerWeights("inception/1x1/bn", "", [np.ones(3)]),
        LayerWeights("i"),
    ]
    write_weights(tmp_path / "w.h5", layers)
    assert {layer.name: len(layer.blobs) for layer in read_weights(tmp_path / "w.h5")} == {
        "inception/1x1": 1,
        "inception/1x1/bn": 1,
        "i": 0,
    }


@pytest.mark.parametrize(
    "name, told", [("small_iter_3.solverstate.h5", "has no group 'data': a .caffemodel.h5 is expected")]
)
def test_hdf5_of_another_kind_is_told(name, told):
    with pytest.raises(DataError, match=told):
        read_weights(MODEL / name)


def test_hdf5_cut_off_is_told(tmp_path):
    (tmp_path / "w.h5").write_bytes((MODEL / "small.caffemodel.h5").read_bytes()[:2000])
    with pytest.raises(DataError, match="w.h5 is no whole .caffemodel.h5"):
        read_weights(tmp_path / "w.h5")


def test_hdf5_that_claims_more_than_it_holds_is_told_before_memory_is_taken(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("data/a/0", shape=(2**40,), dtype="<f4", chunks=(1024,))
    with pytest.raises(DataError, match=r"layer 'a': blob 0 of shape \(1099511627776,\) has only 0 bytes in the file"):
        read_weights(tmp_path / "w.h5")


def test_hdf5_links_out_of_the_file_are_left_out(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_group("data/a")["0"] = h5py.ExternalLink("other.h5", "/secret")
        file["data/loop"] = file["data"]
    with pytest.raises(DataError, match="groups within groups without end"):
        read_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        del file["data/loop"]
    assert read_weights(tmp_path / "w.h5")[0].blobs == []


def test_hdf5_texts_are_no_weights(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/a/0"] = "text"
    with pytest.raises(DataError, match="layer 'a': blob 0 is no array of numbers"):
        read_weights(tmp_path / "w.h5")


@pytest.mark.parametrize("name", ["w.caffemodel", "w.caffemodel.h5"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(b"old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    monkeypatch.setattr("layerforge.core.files._sync", full)
    with pytest.raises(DataError, match="cannot be written: No space left on device"):
        save_weights(net(a=[blob(2)]), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_bytes() == b"old"


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        save_weights(net(a=[blob(2)]), tmp_path / "none" / "w.caffemodel")


def test_binary_files_hold_the_net_as_caffes_do(small, tmp_path):
    save_weights(small, tmp_path / "w.caffemodel")
    saved, own = read_binary_net(tmp_path / "w.caffemodel"), read_binary_net(MODEL / "small.caffemodel")
    conv, caffes = saved.layers[1], own.layers[1]
    assert (conv.name, conv.bottoms, conv.tops) == (caffes.name, caffes.bottoms, caffes.tops)
    assert [spec.lr_mult for spec in conv.param] == [spec.lr_mult for spec in caffes.param] == [1, 2]
    assert conv.params == caffes.params


def test_old_binary_files_are_upgraded_with_their_weights(tmp_path):
    upgrade_caffemodel(MODEL / "small_v1.caffemodel", tmp_path / "w.caffemodel")
    old, new = read_weights(MODEL / "small_v1.caffemodel"), read_weights(tmp_path / "w.caffemodel")
    assert [(layer.name, layer.type) for layer in old] == [(layer.name, layer.type) for layer in new]
    assert all(np.array_equal(a, b) for x, y in zip(old, new) for a, b in zip(x.blobs, y.blobs))
    net = message_class("NetParameter").FromString((tmp_path / "w.caffemodel").read_bytes())
    assert len(net.layers) == 0 and new[0].legacy == old[0].legacy == [True, True]
    assert net.layer[0].blobs[1].width == 4 and not net.layer[0].blobs[1].HasField("shape")
