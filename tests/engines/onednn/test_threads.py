"""Threads: nets in several Python threads, and what libgomp is told."""

import os
import threading

import pytest
from engines_compare import Pair, net_text

from layerforge.core.errors import DeviceError

try:
    from layerforge.engines.onednn import library

    library.load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

FILL = 'weight_filler { type: "gaussian" std: 0.2 }'
LAYERS = [
    f"Convolution c data > c {{ convolution_param {{ num_output: 20 kernel_size: 3 {FILL} }} }}",
    "BatchNorm n c > c",
    "ReLU r c > c",
    f"InnerProduct i c > i {{ inner_product_param {{ num_output: 5 {FILL} }} }}",
]


def test_two_nets_run_in_two_threads():
    errors = []

    def work(seed):
        try:
            pair = Pair(net_text(*LAYERS), seed=seed)
            for _ in range(5):
                pair.run()
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert not errors, errors[0]


def test_libgomp_is_told_the_usable_cores_and_the_environment_stays(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    before = dict(os.environ)
    with library._said_to_libgomp():
        assert int(os.environ["OMP_NUM_THREADS"]) >= 1 and "GOMP_SPINCOUNT" in os.environ
    assert dict(os.environ) == before


def test_what_the_environment_says_counts(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with library._said_to_libgomp():
        assert os.environ["OMP_NUM_THREADS"] == "3"
    assert os.environ["OMP_NUM_THREADS"] == "3"
