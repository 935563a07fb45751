"""The generated descriptor, and Caffe's numbers in it."""

import subprocess
import sys
from pathlib import Path

import pytest

from layerforge.schema.kinds import message_kind
from layerforge.schema.messages import descriptor, file_descriptor, message_class, pool

ROOT = Path(__file__).parents[2]


def test_the_stored_descriptor_is_what_the_source_compiles_to():
    pytest.importorskip("grpc_tools", reason="comparing needs grpcio-tools, which only developers have")
    done = subprocess.run(
        [sys.executable, ROOT / "proto" / "generate.py", "--check"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pool_is_not_protobufs_default_one():
    from google.protobuf import descriptor_pool

    assert pool() is not descriptor_pool.Default()
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("layerforge.NetParameter")


def test_nothing_is_required():
    messages = list(file_descriptor().message_types_by_name.values())
    while messages:
        message = messages.pop()
        messages.extend(message.nested_types)
        assert message_class(message.full_name.removeprefix("layerforge."))().IsInitialized(), message.name


@pytest.mark.parametrize(
    "message, field, number",
    [
        ("NetParameter", "layer", 100),
        ("NetParameter", "layers", 2),
        ("LayerParameter", "blobs", 7),
        ("LayerParameter", "convolution_param", 106),
        ("LayerParameter", "clip_param", 148),
        ("LayerParameter", "swish_param", 147),
        ("LayerParameter", "permute_param", 202),
        ("LayerParameter", "roi_pooling_param", 8266711),
        ("LayerParameter", "shuffle_channel_param", 164),
        ("LayerParameter", "psroi_pooling_param", 10001),
        ("LayerParameter", "relu6_param", 211),
        ("LayerParameter", "interp_param", 163),
        ("LayerParameter", "norm_param", 206),
        ("V1LayerParameter", "blobs", 6),
        ("V0LayerParameter", "blobs", 50),
        ("SolverParameter", "weights", 42),
        ("SolverParameter", "layer_wise_reduce", 41),
        ("SolverParameter", "plateau_winsize", 43),
        ("SolverState", "layerforge", 10000),
        ("BlobProto", "data", 5),
        ("BlobProto", "raw_data", 12),
        ("BatchNormParameter", "scale_bias", 7),
        ("DropoutParameter", "scale_train", 2),
        ("MultiBoxLossParameter", "use_prior_for_nms", 23),
    ],
)
def test_numbers_are_those_of_caffe_and_its_forks(message, field, number):
    assert message_kind(message).fields[field].number == number


@pytest.mark.parametrize(
    "message, field",
    [
        ("SolverParameter", "eval_type"),
        ("SolverParameter", "min_lr"),
        ("PoolingParameter", "pad_type"),
        ("LayerParameter", "seg_accuracy_param"),
    ],
)
def test_fields_whose_number_caffe_uses_otherwise_have_one_of_ours(message, field):
    assert message_kind(message).fields[field].number >= 10000


def test_arrays_are_packed_as_caffe_packs_them():
    data = message_class("BlobProto")(data=[1.0, 2.0]).SerializeToString()
    assert data[:2] == bytes([5 << 3 | 2, 8])
    assert descriptor("BlobShape").fields_by_name["dim"].GetOptions().packed


def test_the_same_names_may_be_in_protobufs_default_pool():
    program = """
from google.protobuf import descriptor_pool
from layerforge.schema.messages import DESCRIPTOR, message_class
descriptor_pool.Default().AddSerializedFile(DESCRIPTOR.read_bytes())
assert message_class("NetParameter")(name="n").SerializeToString() == bytes([10, 1, 110])
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
