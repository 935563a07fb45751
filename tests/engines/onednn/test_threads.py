"""Threads: one setting for the engine, NumPy's BLAS and data workers; nets in several Python threads and processes."""

import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest
from engines_compare import Pair, net_text

import layerforge
from layerforge.core import threads
from layerforge.core.errors import DeviceError
from layerforge.core.random import Random
from layerforge.core.running import BLAS, TURNS
from layerforge.core.storage import HOST
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net, parse_solver
from layerforge.solver.loop import Solver

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


def make_net(*layers, **more):
    return build_net(parse_net(net_text(*(layers or LAYERS), **more)), Phase.TRAIN, rng=Random(3))


def at_once(*works):
    """Runs these in threads of their own; raises what any of them raises."""
    errors = []

    def guarded(work):
        try:
            work()
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    if errors:
        raise errors[0]


@pytest.fixture
def blas():
    """NumPy's BLAS with three threads; how many it has now."""
    BLAS.look()
    found = next(iter(BLAS._found.values()))
    before = found.get()
    found.set(3)
    yield found.get
    found.set(before)


def openmp():
    return library.load().pool._get()


def test_two_nets_run_in_two_threads():
    def work(seed):
        pair = Pair(net_text(*LAYERS), seed=seed)
        for _ in range(5):
            pair.run()

    at_once(lambda: work(1), lambda: work(2))


def test_two_nets_at_once_are_not_much_slower_than_one_after_another():
    nets = [make_net(shape=(4, 6, 20, 20)) for _ in range(2)]

    def work(net):
        for _ in range(40):
            net.forward()

    def seconds(run):
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    def ratio():
        one_by_one = seconds(lambda: [work(net) for net in nets])
        return seconds(lambda: at_once(*(lambda net=net: work(net) for net in nets))) / one_by_one

    assert any(ratio() < 2 for _ in range(12))  # other programs may be in the way


def test_libgomp_is_told_the_usable_cores_and_the_environment_stays(monkeypatch):
    for name in ("OMP_NUM_THREADS", *library.SPINS):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    with library._said_to_libgomp():
        assert int(os.environ["OMP_NUM_THREADS"]) >= 1 and library.SPINS.items() <= os.environ.items()
    assert dict(os.environ) == before


@pytest.mark.parametrize(("name", "value"), [("OMP_NUM_THREADS", "3"), ("OMP_WAIT_POLICY", "PASSIVE")])
def test_what_the_environment_says_counts(monkeypatch, name, value):
    for each in library.SPINS:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, value)
    with library._said_to_libgomp():
        assert os.environ[name] == value
        assert ("GOMP_SPINCOUNT" in os.environ) == (name == "OMP_NUM_THREADS")
    assert os.environ[name] == value


def test_a_net_computes_on_the_threads_it_was_made_for_in_any_python_thread(blas):
    with threads.limited(2):
        net = make_net()
    seen = []
    net.step_hooks["after_forward"].append(lambda layer: seen.append((openmp(), blas())))
    before = openmp()
    net.forward()
    net.backward()
    assert openmp() == before and blas() == 3
    at_once(net.forward)
    assert set(seen) == {(2, 1)}


def test_fewer_threads_by_threadpoolctl_count(blas):
    from threadpoolctl import threadpool_limits

    with threads.limited(2):
        net = make_net()
    seen = []
    net.step_hooks["after_forward"].append(lambda layer: seen.append(openmp()))
    if openmp() == 1:
        pytest.skip("OpenMP has one thread here, so none is fewer")
    with threadpool_limits(1, user_api="openmp"):
        net.forward()
    assert set(seen) == {1}


def test_the_facade_sets_the_threads_of_nets_made_from_then_on(tmp_path, blas):
    file = tmp_path / "net.prototxt"
    file.write_text(net_text(*LAYERS))
    seen = []
    try:
        layerforge.set_threads(2)
        net = layerforge.Net(str(file), layerforge.TEST)
        layerforge.set_threads(1)
        assert threads.count() == 1
    finally:
        layerforge.set_threads(None)
    net.after_forward(lambda layer: seen.append((openmp(), blas())))
    net.forward()
    assert set(seen) == {(2, 1)} and blas() == 3


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True])
def test_threads_are_whole_numbers_of_at_least_one(wrong):
    with pytest.raises(ValueError, match="set_threads takes"):
        layerforge.set_threads(wrong)


SOLVER = 'base_lr: 0.1 lr_policy: "fixed" net_param {{ {} }}'


def make_solver():
    loss = "EuclideanLoss l i data2 > l"
    text = net_text(*LAYERS, loss).replace("force_backward: true", "")
    text += ' layer { name: "d" type: "DummyData" top: "data2" dummy_data_param { shape { dim: 2 dim: 5 } } }'
    head, _, tail = text.partition('layer { name: "c"')
    dummy = tail[tail.index('layer { name: "d"') :]
    return Solver(parse_solver(SOLVER.format(head + dummy + 'layer { name: "c"' + tail.removesuffix(dummy))))


def test_blas_is_held_while_a_solver_steps_and_restored_after(blas):
    solver, seen = make_solver(), []
    solver.net.step_hooks["after_backward"].append(lambda layer: seen.append(blas()))
    solver.step(2)
    assert set(seen) == {1} and blas() == 3


def interrupt(layer):
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("hook", "error"), [(lambda layer: 1 / 0, ZeroDivisionError), (interrupt, KeyboardInterrupt)],
    ids=["error", "ctrl-c"],
)
@pytest.mark.parametrize("when", ["after_forward", "after_backward"])
def test_all_is_restored_after_an_error_in_training(blas, hook, error, when):
    solver, before = make_solver(), openmp()
    solver.step(1)
    solver.net.hooks[when].append(hook)
    with pytest.raises(error):
        solver.step(1)
    assert (openmp(), blas(), TURNS.mine) == (before, 3, False)
    solver.net.hooks[when].clear()
    at_once(lambda: solver.step(1))


def test_data_workers_may_start_after_training_began(make_lmdb, pictures):
    solver = make_solver()
    solver.step(2)
    source = make_lmdb(pictures(6, (6, 9, 8)))
    fields = f'data_param {{ source: "{source}" backend: LMDB batch_size: 2 }}'
    data = f'layer {{ name: "data" type: "Data" top: "data" top: "label" {fields} }}'
    text = net_text(*LAYERS)
    text = text[: text.index("layer {")] + data + text[text.index("\nlayer {") :]
    nets = [build_net(parse_net(text), Phase.TEST, rng=Random(3), engines=engines) for engines in (None, ())]
    for _ in range(4):
        solver.step(1)
        for net in nets:
            net.forward()
        got, want = (net.blobs["i"].data.array(HOST) for net in nets)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3 * np.abs(want).max())
    for net in nets:
        net.close()


def run_by(net):
    """The outputs of a pass over given data."""
    net.blobs["data"].data.set(np.random.default_rng(1).standard_normal(net.blobs["data"].shape).astype(np.float32))
    net.forward()
    return net.blobs["i"].data.array(HOST).copy()


def exit_code(child, patience_seconds=60):
    """Of a forked process; it is killed when it hangs."""
    end = time.monotonic() + patience_seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
def test_nets_run_in_a_forked_child_and_in_its_parent():
    with threads.limited(2):
        net = make_net()
        want = run_by(net)
        child = os.fork()
        if not child:
            same = np.array_equal(run_by(net), want) and np.array_equal(run_by(make_net()), want)
            os._exit(0 if same else 1)
        assert np.array_equal(run_by(net), want)
    assert exit_code(child) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
def test_a_child_that_is_forked_during_another_threads_pass_runs_nets():
    with threads.limited(2):
        net, own, inside, go_on = make_net(), make_net(), threading.Event(), threading.Event()
        net.step_hooks["after_forward"].append(lambda layer: (inside.set(), go_on.wait(60)))
        other = threading.Thread(target=net.forward)
        other.start()
        inside.wait(60)
        child = os.fork()
        if not child:
            own.forward()
            os._exit(0)
        code = exit_code(child)
        go_on.set()
        other.join()
    assert code == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
def test_an_openmp_that_cannot_end_its_threads_makes_a_forked_child_say_so(monkeypatch):
    net = make_net()
    net.forward()
    monkeypatch.setattr(library.load().pool, "_pause", None)
    child = os.fork()
    if not child:
        try:
            net.forward()
        except DeviceError as error:
            os._exit(0 if "spawn" in error.hint else 1)
        os._exit(2)
    assert exit_code(child) == 0


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system forks no processes")
def test_an_update_is_shared_among_threads_in_a_forked_child_too():
    def work():
        with threads.limited(2):
            threads.share(lambda part: None, 100, 10)

    work()
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(60)
    assert child.exitcode == 0
