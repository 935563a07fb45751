"""Exact resume: 10 iterations, a snapshot, and 10 more equal 20 iterations, bit for bit."""

import shutil
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from tiny_solver import NET, histories, parameters, same

from layerforge.solver.interrupt import Request

PICTURES = """
layer { name: "data" type: "ImageData" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 5 mirror: true scale: 0.01 }
  image_data_param { source: "list.txt" batch_size: 4 shuffle: true } }
layer { name: "data" type: "ImageData" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 5 scale: 0.01 }
  image_data_param { source: "list.txt" batch_size: 5 shuffle: true } }
"""
LAYERS = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
RUN = """iter_size: 2 average_loss: 4 display: 3 weight_decay: 0.01 test_iter: [2, 1] test_interval: 5
         gamma: 0.5 stepvalue: [4, 12]"""


@pytest.fixture
def pictures(tmp_path, make_solver):
    """11 pictures with labels 0 to 2, and their list."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(11):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rng.integers(0, 256, (8, 9, 3), np.uint8))
        lines.append(f"{i}.png {i % 3}")
    (tmp_path / "list.txt").write_text("\n".join(lines))


@pytest.fixture
def run(make_solver, pictures):
    """Solvers of all at once: shuffled, cropped, mirrored pictures, BatchNorm, dropout, two test nets, iter_size 2."""
    def make(fields="", lr_policy='"multistep"', **how):
        return make_solver(f"{RUN} {fields}", PICTURES + LAYERS, max_iter=20, lr_policy=lr_policy, **how)

    return make


def told(solver, first=0):
    """What the run reported from an iteration on, without its timing."""
    losses = [(r.iteration, r.loss, r.last_loss, r.lr) for r in solver.observer.reports if r.iteration >= first]
    tests = [(t.iteration, t.net, [o.value for o in t.outputs]) for t in solver.observer.tests if t.iteration >= first]
    return losses, tests


def assert_equal(one, other, first):
    assert told(one, first) == told(other, first)
    assert same(parameters(one), parameters(other))
    assert same(histories(one), histories(other))


@pytest.mark.parametrize("file_format, ending", [("BINARYPROTO", ""), ("HDF5", ".h5")])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_ten_and_ten_iterations_equal_twenty(run, file_format, ending, kind):
    fields = f'snapshot: 10 snapshot_format: {file_format} type: "{kind}"'
    whole, rest = run(fields), run(fields, random_seed=99)
    whole.solve()
    rest.restore(f"tiny_iter_10.solverstate{ending}")
    rest.solve()
    assert rest.iter == 20
    assert_equal(whole, rest, first=10)


def test_a_run_with_a_drawn_seed_goes_on_with_it(run):
    whole, rest = run("snapshot: 10", random_seed=None), run("", random_seed=None)
    whole.solve()
    rest.restore("tiny_iter_10.solverstate")
    rest.solve()
    assert rest.rng.seed == whole.rng.seed
    assert_equal(whole, rest, first=10)


@pytest.mark.parametrize("stop_at", [7, 10])
def test_a_run_stopped_anywhere_goes_on_exactly(run, stop_at):
    whole, first, rest = run(), run(), run()
    whole.solve()
    first.requests = lambda: Request.STOP if first.iter == stop_at else Request.NONE
    first.solve()
    rest.restore(f"tiny_iter_{stop_at}.solverstate")
    rest.solve()
    assert_equal(whole, rest, first=stop_at)


def test_a_run_stopped_within_a_test_repeats_that_test_exactly(run):
    whole, first, rest = run(), run(), run()
    whole.solve()
    asked = []

    def third_time_at_ten():
        asked.extend([0] * (first.iter == 10))
        return Request.STOP if len(asked) == 3 else Request.NONE

    first.requests = third_time_at_ten
    first.solve()
    assert first.observer.said("Test interrupted.") and first.iter == 10
    rest.restore("tiny_iter_10.solverstate")
    rest.solve()
    assert_equal(whole, rest, first=10)


def test_restoring_into_a_run_that_has_begun_forgets_what_it_did(run):
    whole, used = run("snapshot: 10"), run()
    whole.solve()
    used.step(3)
    used.observer.__init__()
    used.restore("tiny_iter_10.solverstate")
    used.solve()
    assert_equal(whole, used, first=10)


def test_a_plateau_goes_on_exactly(run):
    whole, rest = (run("snapshot: 10 plateau_winsize: [2, 3, 2]", lr_policy='"plateau"') for _ in range(2))
    whole.solve()
    rest.restore("tiny_iter_10.solverstate")
    rest.solve()
    assert rest.updater.policy.current_step == whole.updater.policy.current_step > 0
    assert_equal(whole, rest, first=10)


PYTHON_NET = NET + """
layer { name: "count" type: "Python" bottom: "ip" top: "count" python_param { module: "counting" layer: "LAYER" } }
layer { name: "quiet" type: "Silence" bottom: "count" }
"""
COUNTING = """
class Forgetful:
    def setup(self, bottom, top): self.forwards = 0
    def reshape(self, bottom, top): top[0].reshape(1)
    def forward(self, bottom, top):
        self.forwards += 1
        top[0].data[...] = self.forwards
    def backward(self, top, propagate_down, bottom): pass

class Counting(Forgetful):
    def state(self): return {"forwards": self.forwards}
    def load_state(self, state): self.forwards = state["forwards"]
"""


@pytest.mark.parametrize("layer, count", [("Counting", 5), ("Forgetful", 2)])
def test_a_python_layer_is_restored_if_it_has_a_state(make_solver, tmp_path, layer, count):
    (tmp_path / "counting.py").write_text(COUNTING)
    net = PYTHON_NET.replace("LAYER", layer)
    first, rest = make_solver("", net), make_solver("", net)
    first.step(3)
    rest.restore(first.snapshot())
    rest.step(2)
    assert rest.net.blobs["count"].data.array()[0] == count
    assert rest.observer.said("Layer 'count' (Python) has no state()") == (layer == "Forgetful")


def test_a_list_that_has_changed_starts_anew_and_says_so(run, tmp_path):
    first = run()
    first.step(3)
    path = first.snapshot()
    (tmp_path / "list.txt").write_text("0.png 1\n1.png 0\n")
    rest = run()
    rest.restore(path)
    assert rest.iter == 3 and rest.observer.said("the list has 2 pictures")


RECURRENT = """
layer { name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param { source: "list.txt" batch_size: 4 is_color: false } transform_param { scale: 0.01 } }
layer { name: "flat" type: "Reshape" bottom: "data" top: "x" reshape_param { shape { dim: 4 dim: 1 dim: -1 } } }
layer { name: "cont" type: "DummyData" top: "cont"
  dummy_data_param { shape { dim: 4 dim: 1 } data_filler { value: 1 } } }
layer { name: "carry" type: "LSTM" bottom: "x" bottom: "cont" top: "h"
  recurrent_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "rows" type: "Reshape" bottom: "h" top: "rows" reshape_param { shape { dim: 4 dim: 3 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "rows" bottom: "label" top: "loss" }
"""


def test_a_carried_lstm_state_goes_on_exactly(make_solver, pictures):
    whole, rest = (make_solver("snapshot: 3", RECURRENT) for _ in range(2))
    whole.solve()
    rest.restore("tiny_iter_3.solverstate")
    rest.solve()
    assert_equal(whole, rest, first=3)


SOURCES = {
    "Data": 'type: "Data" data_param { source: "db_lmdb" batch_size: 4 backend: LMDB rand_skip: 7 } '
            "transform_param { crop_size: 9 mirror: true scale: 0.01 }",
    "HDF5Data": 'type: "HDF5Data" hdf5_data_param { source: "files.txt" batch_size: 4 shuffle: true }',
    "DummyData": 'type: "DummyData" dummy_data_param { shape { dim: 4 dim: 5 } shape { dim: 4 } '
                 'data_filler { type: "gaussian" } data_filler { value: 1 } }',
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_kind_of_source_goes_on_exactly(make_solver, tmp_path, source):
    shutil.copytree(Path(__file__).parents[1] / "golden" / "files" / "db_lmdb", tmp_path / "db_lmdb")
    rng = np.random.default_rng(0)
    for name in "ab":
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["data"], file["label"] = rng.normal(size=(5, 3)), rng.integers(0, 3, 5)
    (tmp_path / "files.txt").write_text("a.h5\nb.h5\n")
    net = f'layer {{ name: "data" top: "data" top: "label" {SOURCES[source]} }}' + """
        layer { name: "drop" type: "Dropout" bottom: "data" top: "drop" }
        layer { name: "ip" type: "InnerProduct" bottom: "drop" top: "ip"
          inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }"""
    whole, rest = make_solver("snapshot: 5", net, max_iter=11), make_solver("", net, max_iter=11, random_seed=8)
    whole.solve()
    rest.restore("tiny_iter_5.solverstate")
    rest.solve()
    assert_equal(whole, rest, first=5)
