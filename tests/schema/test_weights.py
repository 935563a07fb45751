"""Binary weights: real files, the forks' ways, and files that lie."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerforge.core.errors import DataError
from layerforge.schema.messages import message_class
from layerforge.schema.weights import LayerWeights, caffemodel_chunks, parse_caffemodel, read_caffemodel
from layerforge.schema.wire import put_bytes, put_head, put_int

MODEL = Path(__file__).parents[1] / "golden" / "files" / "model"
SMALL = (MODEL / "small.caffemodel").read_bytes()


def by_name(layers):
    return {layer.name: layer for layer in layers}


def one(**fields):
    """A file with one layer that has one blob of these BlobProto fields."""
    net = message_class("NetParameter")()
    blob = net.layer.add(name="a", type="T").blobs.add()
    for name, value in fields.items():
        getattr(blob, name).extend(value) if isinstance(value, list) else setattr(blob, name, value)
    return net


def only_blob(net):
    layers = parse_caffemodel(net.SerializeToString(), "f")
    return layers[0].blobs[0], layers[0].legacy[0]


def test_a_file_of_caffe_gives_layers_types_shapes_and_values():
    layers = by_name(read_caffemodel(MODEL / "small.caffemodel"))
    assert list(layers) == ["in", "conv1", "bn1", "scale1", "prelu1", "pool1", "ip-1", "loss"]
    assert layers["ip-1"].type == "InnerProduct" and layers["pool1"].blobs == []
    assert [blob.shape for blob in layers["conv1"].blobs] == [(4, 1, 3, 3), (4,)]
    reference = message_class("NetParameter").FromString(SMALL)
    np.testing.assert_array_equal(
        layers["ip-1"].blobs[0].ravel(), np.array(reference.layer[6].blobs[0].data, np.float32)
    )


def test_the_second_format_has_the_same_values_in_four_number_shapes():
    old, new = (
        by_name(read_caffemodel(MODEL / "small_v1.caffemodel")),
        by_name(read_caffemodel(MODEL / "small.caffemodel")),
    )
    assert (
        old["ip-1"].type == "InnerProduct"
        and old["ip-1"].legacy == [True, True]
        and new["ip-1"].legacy == [False, False]
    )
    assert [blob.shape for blob in old["ip-1"].blobs] == [(1, 1, 5, 64), (1, 1, 1, 5)]
    for a, b in zip(old["ip-1"].blobs, new["ip-1"].blobs):
        np.testing.assert_array_equal(a.ravel(), b.ravel())


def test_doubles_stay_doubles():
    layers = by_name(read_caffemodel(MODEL / "small_double.caffemodel"))
    assert layers["conv1"].blobs[0].dtype == np.float64


def test_arrays_are_views_into_the_file():
    data = one(data=[1.0, 2.0], num=2, channels=1, height=1, width=1).SerializeToString()
    blob = parse_caffemodel(data, "f")[0].blobs[0]
    assert not blob.flags.owndata and not blob.flags.writeable


def test_half_precision_of_nvcaffe_is_read():
    net = one(raw_data_type=2, raw_data=np.array([1, 2.5], np.float16).tobytes())
    net.layer[0].blobs[0].shape.dim.append(2)
    blob, _ = only_blob(net)
    assert blob.dtype == np.float16 and blob.tolist() == [1.0, 2.5]


def test_raw_bytes_without_a_type_are_told_by_their_size():
    net = one(raw_data=np.array([1, 2.5], np.float32).tobytes())
    net.layer[0].blobs[0].shape.dim.append(2)
    assert only_blob(net)[0].tolist() == [1.0, 2.5]


def test_numbers_may_stand_one_by_one():
    values = b"".join(bytes([5 << 3 | 5]) + struct.pack("<f", v) for v in (1, 2, 3))
    blob = values + put_bytes(7, bytes([1 << 3, 3]))  # dim not packed either
    data = put_bytes(100, put_bytes(1, "a") + put_bytes(7, blob))
    assert parse_caffemodel(data, "f")[0].blobs[0].tolist() == [1.0, 2.0, 3.0]


def test_the_first_format_is_read():
    net = message_class("NetParameter")()
    v0 = net.layers.add(bottom=["x"]).layer
    v0.name, v0.type = "c", "conv"
    v0.blobs.add(data=[1.0], num=1, channels=1, height=1, width=1)
    (layer,) = parse_caffemodel(net.SerializeToString(), "f")
    assert (layer.name, layer.type) == ("c", "Convolution") and layer.blobs[0].shape == (1, 1, 1, 1)


def test_foreign_bytes_in_a_fork_field_do_not_matter():
    layer = put_bytes(1, "a") + put_bytes(148, b"\xff\xff\xff no message") + put_int(9999, 5)
    assert parse_caffemodel(put_bytes(100, layer), "f")[0].name == "a"


def test_diffs_are_kept():
    net = one(data=[1.0], diff=[2.0])
    net.layer[0].blobs[0].shape.dim.append(1)
    assert parse_caffemodel(net.SerializeToString(), "f")[0].diffs[0].tolist() == [2.0]


@pytest.mark.parametrize("size", [1, 100, len(SMALL) - 1])
def test_a_file_cut_off_is_told(size):
    with pytest.raises(DataError, match="small.caffemodel is no whole .caffemodel of"):
        parse_caffemodel(SMALL[:size], "small.caffemodel")


@pytest.mark.parametrize(
    "data, told",
    [
        (b"", "holds no layers"),
        (b"\x89HDF\r\n\x1a\n", "this is HDF5"),
        (b"\xff\xd8\xff\xe0JFIF", "this is a JPEG"),
        (b'name: "LeNet"\nlayer {', "this is a text: the net goes to --model"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git-lfs"),
    ],
)
def test_files_of_another_kind_are_told(data, told):
    with pytest.raises(DataError) as caught:
        parse_caffemodel(data, "f.caffemodel")
    assert str(caught.value).startswith("f.caffemodel ") and told in str(caught.value)


def test_a_shape_that_does_not_fit_its_values_is_told():
    net = one(data=[1.0, 2.0])
    net.layer[0].blobs[0].shape.dim.append(2**40)
    with pytest.raises(DataError, match=r"f: layer 'a': blob 0 of shape \(1099511627776,\) has 2 values"):
        only_blob(net)


def test_a_length_that_lies_is_told_before_memory_is_taken():
    data = put_head(100, 2**62) + b"abc"
    with pytest.raises(DataError, match="field 100 needs 4611686018427387904 bytes, 3 are left"):
        parse_caffemodel(data, "f")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match="none.caffemodel cannot be read: No such file"):
        read_caffemodel(tmp_path / "none.caffemodel")


def test_written_weights_are_messages_that_caffe_reads():
    w, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1.5], np.float64)
    layers = [
        LayerWeights("a", "InnerProduct", [w, b]),
        LayerWeights("r", "ReLU"),
        LayerWeights("s", "Scale", [np.float32(3.0).reshape(())]),
    ]
    net = message_class("NetParameter").FromString(b"".join(caffemodel_chunks("net", layers)))
    assert net.name == "net" and [(layer.name, layer.type) for layer in net.layer] == [
        ("a", "InnerProduct"),
        ("r", "ReLU"),
        ("s", "Scale"),
    ]
    blobs = net.layer[0].blobs
    assert (
        list(blobs[0].shape.dim) == [2, 3]
        and list(blobs[0].data) == [0, 1, 2, 3, 4, 5]
        and list(blobs[1].double_data) == [1.5]
    )
    assert net.layer[2].blobs[0].HasField("shape") and list(net.layer[2].blobs[0].data) == [3.0]


def test_half_precision_is_written_as_floats():
    data = b"".join(caffemodel_chunks("", [LayerWeights("a", "T", [np.array([0.5], np.float16)])]))
    assert parse_caffemodel(data, "f")[0].blobs[0].dtype == np.float32


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.tuples(st.integers(0, len(SMALL) - 1), st.binary(min_size=1, max_size=3)))
def test_any_bytes_are_read_or_refused_with_our_error(change):
    data = change
    if isinstance(change, tuple):
        at, put = change
        data = SMALL[:at] + put + SMALL[at + len(put) :]
    try:
        parse_caffemodel(data, "f")
    except DataError as told:
        assert str(told).startswith("f")
