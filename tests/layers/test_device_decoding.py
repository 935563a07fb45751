"""Data and ImageData on a device that decodes pictures: the batches are the CPU's, whoever decoded which picture."""

import logging

import lmdb
import numpy as np
import pytest
from cpu_kernels import needs_compiler
from picture_device import OpenCvCodec, compressed, picture, picture_device

from layerforge.core.errors import DataError
from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.data.datum import make_datum
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.messages import message_class
from layerforge.schema.read import parse_net

TRANSFORM = "crop_size: 16 mirror: true mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.017"
DATA = """layer { name: "data" type: "Data" top: "data" top: "label" transform_param { %s }
  data_param { source: "db" batch_size: 4 backend: LMDB } }"""
IMAGES = """layer { name: "data" type: "ImageData" top: "data" top: "label" transform_param { %s }
  image_data_param { source: "list.txt" batch_size: 4 shuffle: true %s } }"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    needs_compiler()
    monkeypatch.chdir(tmp_path)


def store(pictures):
    """A database, and a list of files, of compressed pictures."""
    with lmdb.open("db", map_size=1 << 22) as environment, environment.begin(write=True) as write:
        for i, data in enumerate(pictures):
            write.put(b"%08d" % i, make_datum(data, i, encoded=True))
    names = []
    for i, data in enumerate(pictures):
        names.append(f"{i}.jpg {i}\n")
        with open(f"{i}.jpg", "wb") as file:
            file.write(data)
    with open("list.txt", "w") as file:
        file.writelines(names)


def jpegs(count=7):
    return [compressed(picture(20 + i % 2, 24, i)) for i in range(count)]


def batches(text, backend, count=3, phase=Phase.TRAIN):
    net = build_net(parse_net(text, "net.prototxt"), phase, backend=backend, rng=Random(4))
    found = []
    for _ in range(count):
        net.forward()
        found += [net.blobs[name].data.array(HOST).reshape(net.blobs[name].shape).copy() for name in ("data", "label")]
    source = net.layers[0].source
    net.close()
    return found, source


def check_same(text, backend, phase=Phase.TRAIN):
    want, _ = batches(text, None, phase=phase)
    got, source = batches(text, backend, phase=phase)
    for mine, theirs in zip(got, want, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    return source


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.TEST])
@pytest.mark.parametrize("text", [DATA % TRANSFORM, IMAGES % (TRANSFORM, "")], ids=["Data", "ImageData"])
def test_batches_are_those_of_the_cpu(text, phase):
    store(jpegs())
    codec = OpenCvCodec()
    source = check_same(text, picture_device(codec), phase)
    assert source.decoding is not None and codec.lots >= 3
    assert codec.log[:2] == ["wait", "free"]


def test_mean_file_is_subtracted_where_the_window_lies():
    store([compressed(picture(20, 24, i)) for i in range(5)])
    mean = np.random.default_rng(1).uniform(0, 255, 3 * 20 * 24)
    blob = message_class("BlobProto")(num=1, channels=3, height=20, width=24, data=mean)
    with open("mean.binaryproto", "wb") as file:
        file.write(blob.SerializeToString())
    check_same(DATA % 'crop_size: 16 mirror: true mean_file: "mean.binaryproto"', picture_device())


def test_pictures_that_the_device_refuses_are_decoded_on_the_cpu_and_one_is_named(caplog):
    pictures = jpegs()
    pictures[1] = compressed(picture(22, 24, 9), ".png")
    pictures[4] = compressed(cv_grey(picture(22, 24, 10)))
    store(pictures)
    source = check_same(DATA % f"{TRANSFORM} force_color: true", picture_device())
    assert source.decoding is not None
    said = [record.getMessage() for record in caplog.records if "decoded on the CPU" in record.getMessage()]
    assert len(said) == 1 and "00000001" in said[0] and "it is a png" in said[0] and "layer 'data'" in said[0]


def cv_grey(pixels):
    return pixels[:, :, 0]


def test_pictures_that_fail_on_the_device_are_decoded_on_the_cpu():
    pictures = jpegs()
    store(pictures)
    check_same(DATA % TRANSFORM, picture_device(OpenCvCodec(fails=lambda data: data == pictures[2])))


def test_broken_picture_is_named_as_on_the_cpu():
    pictures = jpegs()
    pictures[2] = pictures[2][:300]
    store(pictures)
    with pytest.raises(DataError, match="00000002.* is cut off"):
        batches(DATA % TRANSFORM, picture_device())


def test_pictures_of_two_sizes_without_a_crop_are_refused_as_on_the_cpu():
    store(jpegs())
    for backend in (None, picture_device()):
        with pytest.raises(DataError, match=r"shape \(3, 21, 24\), the first picture of its batch \(3, 20, 24\)"):
            batches(DATA % "", backend)


@pytest.mark.parametrize(
    "text, why",
    [
        (DATA % "decode: GPU rotation_degrees: 5", "rotation_degrees"),
        (DATA % "decode: GPU crop_size: 16 force_gray: true", "force_gray"),
        (IMAGES % ("decode: GPU", "new_height: 12 new_width: 12"), "the CPU resizes"),
        (IMAGES % ("decode: GPU crop_size: 16", "is_color: false"), "is_color"),
    ],
)
def test_work_of_the_cpu_stays_there_and_is_said(text, why, caplog):
    store([compressed(picture(20, 24, i)) for i in range(5)])
    source = check_same(text, picture_device())
    assert source.decoding is None and why in caplog.text


def test_pngs_alone_keep_the_threads_of_the_cpu():
    store([compressed(picture(20, 24, i), ".png") for i in range(5)])
    assert check_same(DATA % TRANSFORM, picture_device()).decoding is None


def test_raw_records_are_no_pictures(caplog):
    with lmdb.open("db", map_size=1 << 22) as environment, environment.begin(write=True) as write:
        for i in range(5):
            write.put(b"%08d" % i, make_datum(picture(20, 24, i).transpose(2, 0, 1), i))
    assert check_same(DATA % "decode: GPU", picture_device()).decoding is None
    assert "its records are not compressed" in caplog.text


@pytest.mark.parametrize("wish, level", [("GPU", logging.WARNING), ("AUTO", logging.DEBUG)])
def test_missing_package_is_said_loudly_where_the_gpu_was_asked_for(wish, level, caplog):
    store(jpegs())
    caplog.set_level(logging.DEBUG, logger="layerforge")
    device = picture_device(why="nvidia-nvimgcodec-cu13 is not installed")
    source = check_same(DATA % f"{TRANSFORM} decode: {wish}", device)
    assert source.decoding is None
    (record,) = [record for record in caplog.records if "nvimgcodec" in record.getMessage()]
    assert record.levelno == level and "pip install it" in record.getMessage()


def test_cpu_decodes_where_the_text_says_so():
    store(jpegs())
    codec = OpenCvCodec()
    assert check_same(DATA % f"{TRANSFORM} decode: CPU", picture_device(codec)).decoding is None
    assert not codec.lots


def test_net_on_the_cpu_says_that_the_gpu_was_asked_for(caplog):
    store(jpegs())
    batches(DATA % f"{TRANSFORM} decode: GPU", None)
    assert "the net runs on the CPU" in caplog.text
