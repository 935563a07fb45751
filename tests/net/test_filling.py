"""First values of parameters, drawn ahead by several threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from engines_compare import net_text

from layerforge.core import threads
from layerforge.core.random import Random
from layerforge.core.storage import HOST, Storage
from layerforge.layers import fillers
from layerforge.layers.fillers import FillerParams, FirstValue
from layerforge.net import filling as module
from layerforge.net.build import build_net
from layerforge.net.filling import filling
from layerforge.schema.read import parse_net

LAYERS = [
    'InnerProduct a data > a { inner_product_param { num_output: 40 weight_filler { type: "xavier" } } }',
    'InnerProduct b a > b { inner_product_param { num_output: 30 weight_filler { type: "msra" } } }',
    'InnerProduct c b > c { inner_product_param { num_output: 20 weight_filler { type: "gaussian" }'
    ' bias_filler { type: "uniform" } } }',
]


def filled(text, cores):
    """The parameters after a first pass."""
    with threads.limited(cores):
        net = build_net(parse_net(text), rng=Random(2))
        net.forward()
        return [each.blob.data.array(HOST).copy() for each in net.learnable]


class AtOnce(ThreadPoolExecutor):
    """Has done its work when it is given."""

    def submit(self, *work):
        made = super().submit(*work)
        made.exception()
        return made


@pytest.fixture
def drawing():
    """The threads that called the built-in filler."""
    seen = []

    def noted(p, shape, rng):
        seen.append(threading.current_thread())
        return np.ones(shape, np.float32)

    return noted, seen


def storages(count, kind="noted", size=4):
    """Parameters with streams of their own, and the run that these belong to."""
    p = FillerParams.__new__(FillerParams)
    p.__dict__.update({name: spec.default for name, spec in FillerParams.specs().items()}, type=kind)
    run = Random(3)
    return [Storage(size, initial=FirstValue(p, (size,), run.stream(f"{i}"))) for i in range(count)], run


def test_several_threads_fill_a_net_with_the_numbers_of_one():
    text = net_text(*LAYERS, shape=(2, 3, 4, 4))
    for got, want in zip(filled(text, 3), filled(text, 1)):
        assert np.array_equal(got, want)


def test_built_in_fillers_run_on_other_threads(monkeypatch, drawing):
    noted, seen = drawing
    monkeypatch.setitem(fillers.FILLERS, "noted", noted)
    monkeypatch.setattr(fillers, "_ALL", (noted,))
    found, _ = storages(3)
    with threads.limited(2), filling(found):
        for each in found:
            each.array(HOST)
    assert len(seen) == 3 and threading.current_thread() not in seen


def test_a_users_filler_runs_on_the_thread_that_reads(monkeypatch, drawing):
    noted, seen = drawing
    monkeypatch.setitem(fillers.FILLERS, "noted", noted)
    found, _ = storages(3)
    with threads.limited(2), filling(found):
        for each in found:
            each.array(HOST)
    assert seen == [threading.current_thread()] * 3


def test_no_more_is_drawn_ahead_than_the_bound(monkeypatch, drawing):
    noted, seen = drawing
    monkeypatch.setitem(fillers.FILLERS, "noted", noted)
    monkeypatch.setattr(fillers, "_ALL", (noted,))
    monkeypatch.setattr(module, "AHEAD", 32)
    monkeypatch.setattr(module, "ThreadPoolExecutor", AtOnce)
    found, _ = storages(8)  # of 16 bytes
    with threads.limited(2), filling(found):
        found[0].array(HOST)
    assert len(seen) == 3


def test_values_are_right_in_any_order_of_reading(monkeypatch):
    monkeypatch.setattr(module, "AHEAD", 32)
    (found, _), (want, _) = storages(6, "gaussian"), storages(6, "gaussian")
    with threads.limited(2), filling(found):
        for i in (4, 0, 5, 2, 1, 3):
            assert np.array_equal(found[i].array(HOST), want[i].array(HOST))


def test_what_was_not_read_follows_a_seed_that_is_loaded_later():
    (found, run), (want, other) = storages(2, "gaussian"), storages(2, "gaussian")
    with threads.limited(2), filling(found):
        found[0].array(HOST)
    for each in (run, other):
        each.load_state(9, {})
    assert np.array_equal(found[1].array(HOST), want[1].array(HOST))


def test_a_value_that_is_set_meanwhile_stays():
    found, _ = storages(2, "gaussian")
    with threads.limited(2), filling(found):
        found[1].set(np.arange(4, dtype=np.float32))
        found[0].array(HOST)
    assert np.array_equal(found[1].array(HOST), np.arange(4))


def test_an_error_of_a_filler_is_raised_where_the_value_is_read(monkeypatch):
    def broken(p, shape, rng):
        raise MemoryError("full")

    monkeypatch.setitem(fillers.FILLERS, "noted", broken)
    monkeypatch.setattr(fillers, "_ALL", (broken,))
    found, _ = storages(2)
    with pytest.raises(MemoryError), threads.limited(2), filling(found):
        found[0].array(HOST)


def test_numbers_drawn_again_are_the_first_ones_even_after_another_seed():
    (found, run), (want, _) = storages(2, "gaussian"), storages(2, "gaussian")
    with threads.limited(2), filling(found):
        first = found[0].glance()
    run.load_state(9, {})
    assert np.array_equal(first, want[0].array(HOST))
    assert np.array_equal(found[0].array(HOST), first)
