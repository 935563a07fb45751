"""Bad input at the command line: one message that names place, layer and cure, exit code 1, nothing half-written."""

import os
import resource

import cv2
import numpy as np
import pytest

from layerforge.cli.main import main
from layerforge.data.datum import make_datum
from layerforge.data.writer import write_lmdb

DATABASE = 'data_param { source: "pictures_lmdb" batch_size: 2 backend: LMDB }'
NET = """name: "net"
layer { name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "pictures_lmdb" batch_size: 2 backend: LMDB } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """net: "net.prototxt"
base_lr: 0.001
lr_policy: "fixed"
max_iter: 2
snapshot: 1
snapshot_prefix: "net"
"""
LIST = NET.replace('"Data"', '"ImageData"').replace(DATABASE, 'image_data_param { source: "list.txt" batch_size: 2 }')


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The net, its solver, a database of three pictures, and the same as JPEG files with their list."""
    monkeypatch.chdir(tmp_path)
    pictures = [np.full((3, 6, 6), 10 * i, np.uint8) for i in range(3)]
    write_lmdb("pictures_lmdb", [(b"%08d" % i, make_datum(x, i)) for i, x in enumerate(pictures)])
    for i, x in enumerate(pictures):
        cv2.imwrite(f"{i}.jpg", x.transpose(1, 2, 0))
    (tmp_path / "list.txt").write_text("0.jpg 0\n1.jpg 1\n2.jpg 2\n")
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return tmp_path


@pytest.fixture
def refused(folder, capsys):
    """Trains, is refused with exit code 1 and without a traceback, and leaves no new file; gives the message."""

    def run(*flags, net=NET):
        (folder / "net.prototxt").write_text(net)
        before = sorted(folder.rglob("*"))
        assert main(["train", "--solver", "solver.prototxt", *flags]) == 1
        err = capsys.readouterr().err
        assert "Traceback" not in err and err.count("layerforge: ") == 1
        assert [p for p in sorted(folder.rglob("*")) if p not in before and p.name != "lock.mdb"] == []
        return err[err.index("layerforge: "):]

    return run


@pytest.mark.parametrize("old, new, told", [
    ("num_output", "num_outptu", ["net.prototxt:5: layer 'conv' (Convolution)", "'num_outptu'", "mean 'num_output'?"]),
    ('"Convolution"', '"Convolutoin"', ["net.prototxt:4: layer 'conv'", "'Convolutoin'", "mean 'Convolution'?"]),
    ('bottom: "conv"', 'bottom: "cnov"', ["net.prototxt:6: layer 'ip' (InnerProduct)", "'cnov'", "mean 'conv'?"]),
    ("pictures_lmdb", "pictuers_lmdb", ["net.prototxt:3: layer 'data' (Data)", "'pictuers_lmdb' is missing"]),
    ("LMDB }", "LMBD }", ["net.prototxt:3: layer 'data' (Data)", "LMBD", "mean 'LMDB'?"]),
], ids=["field", "type", "blob", "file", "choice"])
def test_a_typo_is_shown_with_its_place_and_the_nearest_name(refused, old, new, told):
    err = refused(net=NET.replace(old, new, 1))
    assert all(part in err for part in told), err


def test_a_typo_in_the_name_of_the_net_shows_where_it_was_looked_for(folder, refused):
    (folder / "solver.prototxt").write_text(SOLVER.replace("net.prototxt", "nte.prototxt"))
    err = refused()
    assert "solver.prototxt:1: net 'nte.prototxt' is missing" in err and str(folder) in err


def test_a_cycle_names_both_layers(refused):
    cycle = ('layer { name: "p" type: "ReLU" bottom: "q" top: "o" }\n'
             'layer { name: "q" type: "ReLU" bottom: "o" top: "q" }\n')
    err = refused(net=NET + cycle)
    assert "net.prototxt:9: layer 'p' (ReLU)" in err and "layer 'q' (ReLU) (net.prototxt:10)" in err and "hint:" in err


def test_a_missing_bottom_is_counted(refused):
    err = refused(net=NET.replace('bottom: "ip" bottom: "label"', 'bottom: "ip"'))
    assert "net.prototxt:8: layer 'loss' (SoftmaxWithLoss): has 1 bottoms, needs exactly 2" in err


def test_a_shape_mismatch_gives_both_shapes(refused):
    err = refused(net=NET.replace("SoftmaxWithLoss", "EuclideanLoss"))
    assert "net.prototxt:8: layer 'loss' (EuclideanLoss)" in err and "(2, 3)" in err and "(2,)" in err


def test_a_batch_size_of_zero_is_refused(refused):
    err = refused(net=NET.replace("batch_size: 2", "batch_size: 0"))
    assert "net.prototxt:3: layer 'data' (Data): batch_size: 0, must be at least 1" in err


@pytest.mark.parametrize("ending", [".caffemodel", ".caffemodel.h5"])
def test_weights_that_are_cut_off_are_refused(folder, refused, capsys, ending):
    kind = "HDF5" if ending.endswith("h5") else "BINARYPROTO"
    (folder / "solver.prototxt").write_text(f"{SOLVER}snapshot_format: {kind}\n")
    assert main(["train", "--solver", "solver.prototxt"]) == 0
    capsys.readouterr()
    name = f"net_iter_1{ending}"
    os.truncate(name, os.path.getsize(name) // 2)
    err = refused("--weights", name)
    assert f"{name} is no whole {ending}" in err and "hint: the file may be cut off" in err


@pytest.mark.parametrize("content", [b"", b"some text\n" * 9, b"\x89PNG\r\n\x1a\n" + bytes(range(90)), b"\xff" * 300],
                         ids=["empty", "text", "png", "bytes"])
def test_foreign_weights_are_refused(folder, refused, content):
    (folder / "other.caffemodel").write_bytes(content)
    err = refused("--weights", "other.caffemodel")
    assert "other.caffemodel" in err and "hint:" in err


def test_weights_of_another_shape_are_refused_with_both_shapes(refused, capsys):
    assert main(["train", "--solver", "solver.prototxt"]) == 0
    capsys.readouterr()
    err = refused("--weights", "net_iter_1.caffemodel", net=NET.replace("num_output: 4", "num_output: 5"))
    assert "net.prototxt:4: layer 'conv' (Convolution): blob 0 is (4, 3, 3, 3)" in err and "(5, 3, 3, 3)" in err


@pytest.mark.parametrize("record", [b"", b"\xff\xfe no datum", make_datum(np.ones((3, 6, 6), np.uint8), 1)[:40]],
                         ids=["empty", "garbage", "cut off"])
def test_a_corrupt_record_is_named(folder, refused, record):
    good = make_datum(np.zeros((3, 6, 6), np.uint8), 0)
    write_lmdb("broken_lmdb", [(b"00000000", good), (b"00000001", record)])
    err = refused(net=NET.replace("pictures_lmdb", "broken_lmdb"))
    assert "net.prototxt:2: layer 'data' (Data): broken_lmdb: record '00000001' is broken" in err and "hint:" in err


@pytest.mark.parametrize("damage", [lambda jpeg: jpeg[: len(jpeg) // 2], lambda _: b"no jpeg" * 20, lambda _: b""],
                         ids=["cut off", "garbage", "empty"])
def test_a_corrupt_jpeg_is_named(folder, refused, damage):
    (folder / "1.jpg").write_bytes(damage((folder / "1.jpg").read_bytes()))
    err = refused(net=LIST)
    assert "net.prototxt:2: layer 'data' (ImageData): 1.jpg" in err and "hint:" in err


@pytest.fixture
def small_disk():
    """No file may grow beyond 1000 bytes, as if the disk were full; the weights need more."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("kind", ["BINARYPROTO", "HDF5"])
def test_a_full_disk_is_a_message_and_leaves_no_file(folder, refused, small_disk, kind):
    (folder / "solver.prototxt").write_text(f"{SOLVER}snapshot_format: {kind}\n")
    dummy = "dummy_data_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } shape { dim: 2 } }"
    err = refused(net=NET.replace('"Data"', '"DummyData"').replace(DATABASE, dummy))
    assert "net_iter_1.caffemodel" in err and "cannot be written" in err


def test_two_layers_with_parameters_and_one_name_are_warned_of_with_both_places(folder, capsys):
    (folder / "net.prototxt").write_text(NET.replace('name: "ip"', 'name: "conv"'))
    assert main(["train", "--solver", "solver.prototxt"]) == 0
    err = capsys.readouterr().err
    assert "net.prototxt:6: layer 'conv' (InnerProduct) has the name of the layer at net.prototxt:4" in err


def test_other_repeated_names_are_silent(folder, capsys):
    (folder / "net.prototxt").write_text(NET.replace('name: "loss"', 'name: "data"'))
    assert main(["train", "--solver", "solver.prototxt"]) == 0
    assert "has the name of" not in capsys.readouterr().err
