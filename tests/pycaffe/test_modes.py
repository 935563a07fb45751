"""The settings of the process, the log, the timer, and the package under Caffe's name."""

from __future__ import annotations

import logging
import subprocess
import sys
import time

import pytest

import layerforge as caffe
from layerforge.core.errors import DeviceError
from layerforge.pycaffe import modes


@pytest.fixture(autouse=True)
def as_before():
    """Settings are of the whole process: they are put back."""
    kept = dict(vars(modes._Modes))
    log = logging.getLogger("layerforge")
    handlers, level, propagate = list(log.handlers), log.level, log.propagate
    yield
    for name, value in kept.items():
        if not name.startswith("__"):
            setattr(modes._Modes, name, value)
    log.handlers[:], log.propagate = handlers, propagate
    log.setLevel(level)


def test_phases_are_caffes_numbers():
    assert (caffe.TRAIN, caffe.TEST) == (0, 1)


def test_the_layer_types_are_listed():
    assert {"Data", "Convolution", "InnerProduct", "Python"} <= set(caffe.layer_type_list())


def test_ranks_and_counts_are_remembered():
    assert (caffe.solver_count(), caffe.solver_rank()) == (1, 0)
    caffe.set_solver_count(4)
    caffe.set_solver_rank(2)
    caffe.set_multiprocess(True)
    assert (caffe.solver_count(), caffe.solver_rank()) == (4, 2)


def test_nccl_says_that_it_is_missing():
    assert caffe.has_nccl() is False
    for call in (caffe.NCCL.new_uid, lambda: caffe.NCCL(None, "uid")):
        with pytest.raises(DeviceError, match="several GPUs"):
            call()


def test_the_mode_chooses_the_backend():
    caffe.set_mode_gpu()
    caffe.set_device(0)
    caffe.set_mode_cpu()
    assert modes.backend().name == "numpy"


def test_the_timer_measures():
    timer = caffe.Timer()
    timer.start()
    time.sleep(0.01)
    timer.stop()
    assert 9 < timer.ms < 5000 and timer.us == pytest.approx(1000 * timer.ms)


@pytest.mark.parametrize("level, lines", [(None, 2), (0, 2), (1, 1), (2, 0)])
def test_init_log_sends_glogs_lines_to_standard_error(capsys, level, lines):
    logging.getLogger("layerforge").handlers.clear()
    caffe.init_log(level)
    caffe.log("told")
    logging.getLogger("layerforge").warning("careful")
    err = capsys.readouterr().err.splitlines()
    assert len(err) == lines
    if lines == 2:
        assert err[0][0] == "I" and err[0].endswith("] told") and "test_modes.py:" in err[0] and err[1][0] == "W"


def test_the_environment_sets_the_level(monkeypatch, capsys):
    logging.getLogger("layerforge").handlers.clear()
    monkeypatch.setenv("GLOG_minloglevel", "2")
    caffe.init_log()
    logging.getLogger("layerforge").warning("careful")
    assert capsys.readouterr().err == ""


def test_the_package_takes_caffes_name_in_an_interactive_program():
    code = """
import layerforge
layerforge.install_as_caffe()
import caffe
import caffe.io, caffe.coord_map
from caffe import layers as L, params as P
from caffe.proto import caffe_pb2
from caffe.net_spec import to_proto
assert caffe.Net is layerforge.Net and caffe.io is layerforge.io and caffe.io.caffe_pb2 is caffe_pb2
print(to_proto(L.Pooling(L.Input(), pool=P.Pooling.MAX)).layer[1].type)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "Pooling\n"


def test_no_package_is_named_caffe_without_that():
    code = "import layerforge, importlib.util; print(importlib.util.find_spec('caffe'))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "None\n"
