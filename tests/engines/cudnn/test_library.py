"""Loading cuDNN, and running graphs, with a frontend that only notes what it is asked."""

import itertools
import types

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from tape import TapeBackend

from layerforge import engines
from layerforge.core.errors import DeviceError, NotRecordable
from layerforge.engines.cudnn import library
from layerforge.engines.cudnn.choices import Choices
from layerforge.engines.cudnn.graphs import BiasGradient, Norm
from layerforge.engines.cudnn.library import CudnnRunner
from layerforge.engines.cudnn.plans import NoPlan
from layerforge.engines.cudnn.reference import least


class Tensor:
    def __getattr__(self, name):
        return lambda *_: self


class Graph:
    """Three plans: the first is wrong for what is not float32, the last is the fastest."""

    def __init__(self, log, io_data_type, handle, **_):
        self.log, self.kind, self.at = log, io_data_type, None

    def get_execution_plan_count(self):
        return 3

    def build_plan_at_index(self, index):
        self.at = index

    def get_plan_name_at_index(self, index):
        return f"eng{index}"

    def get_workspace_size_plan_at_index(self, index):
        return 100

    def execute(self, pointers, workspace, handle):
        self.log.append((self.kind, self.at))
        arrays = {tensor.name: Memory.all[pointer] for tensor, pointer in pointers.items()}
        dy = arrays["dy"].view(np.float16) if self.kind == "HALF" else arrays["dy"]
        wrong = 100 if self.kind == "HALF" and self.at == 0 else 0
        arrays["db"][...] = dy.reshape(-1, 2).astype(np.float32).sum(axis=0) + wrong

    def tensor(self, name, **_):
        made = Tensor()
        made.name = name
        return made

    def reduction(self, input, mode):
        made = Tensor()
        made.name = "db"
        return made

    def __getattr__(self, name):
        return lambda *_, **__: None


class Memory(np.ndarray):
    """A device array whose pointer leads back to it."""

    all = {}

    @property
    def data(self):
        at = self.ctypes.data
        Memory.all[at] = self.view(np.ndarray)
        return types.SimpleNamespace(ptr=at)


class Reference:
    """What a bias gradient is. wrong: what is added to it"""

    def __init__(self, wrong=0):
        self.wrong = wrong

    def outputs(self, key, arrays):
        dy = np.asarray(arrays["dy"]).reshape(-1, 2)
        return {"db": dy.sum(axis=0) + np.float32(self.wrong)}


class Stream:
    ptr = 7


@pytest.fixture
def parts():
    needs_compiler()
    log, backend = [], TapeBackend(records=False)
    clock = itertools.cycle([5.0, 3.0, 1.0])
    event = lambda: types.SimpleNamespace(record=lambda stream: None, synchronize=lambda: None)  # noqa: E731
    backend.xp = types.SimpleNamespace(
        empty=lambda n, dtype: np.empty(n, dtype).view(Memory),
        abs=np.abs,
        tile=np.tile,
        get_default_memory_pool=lambda: types.SimpleNamespace(free_all_blocks=lambda: log.append("freed")),
        cuda=types.SimpleNamespace(Event=event, get_elapsed_time=lambda a, b: next(clock)),
    )
    backend.stream = Stream()
    member = types.SimpleNamespace
    cudnn = member(
        data_type=member(FLOAT="FLOAT", HALF="HALF", BOOLEAN="BOOLEAN"),
        heur_mode=member(A=0, FALLBACK=1),
        reduction_mode=member(ADD=0),
        numerical_note=member(TENSOR_CORE=0),
        create_handle=lambda: 5,
        set_stream=lambda handle, stream: None,
        pygraph=lambda **how: Graph(log, **{"handle": None, **how}),
    )
    return cudnn, backend, log


KEY = BiasGradient((3, 2, 1, 1), "FP16")


def arrays():
    dy = np.arange(6, dtype=np.float16)
    return {"dy": dy.view(Memory), "db": np.zeros(2, np.float32).view(Memory)}


def test_fastest_plan_that_is_right_is_kept(parts, tmp_path):
    cudnn, backend, log = parts
    runner = CudnnRunner(cudnn, backend, Choices(tmp_path / "plans.json", "H200", "9"), Reference())
    given = arrays()
    runner.run(KEY, given)
    assert given["db"].tolist() == [6, 9]
    assert log[-2:] == ["freed", ("HALF", 2)] and set(log[:-2]) == {("HALF", at) for at in range(3)}
    del log[:]
    runner.run(KEY, given)
    assert log == [("HALF", 2)]
    again = CudnnRunner(cudnn, backend, Choices(tmp_path / "plans.json", "H200", "9"), Reference())
    again.run(KEY, given)
    assert log == [("HALF", 2)] * 3  # once to see whether it still runs


def test_plans_are_held_against_our_own_arithmetic(parts):
    cudnn, backend, _ = parts
    runner = CudnnRunner(cudnn, backend, Choices(None, "H200", "9"), Reference(wrong=1))
    with pytest.raises(NoPlan, match=r"no plan .* BiasGradient.* right: their errors are \['9\.9', '0\.1', '0\.1'"):
        runner.run(KEY, arrays())


def test_kept_plan_that_no_longer_runs_is_chosen_anew(parts):
    cudnn, backend, log = parts
    choices = Choices(None, "H200", "9")
    choices.put(KEY, 7, "eng7")
    runner = CudnnRunner(cudnn, backend, choices, Reference())
    runner.run(KEY, arrays())
    assert runner.plan_name(KEY) == "eng2"


def test_plan_is_not_chosen_while_recording(parts):
    cudnn, backend, _ = parts
    runner = CudnnRunner(cudnn, backend, Choices(None, "H200", "9"))
    backend.ops.kernels.numbers = object()
    with pytest.raises(NotRecordable, match="chosen first"):
        runner.run(KEY, arrays())


def test_graph_that_cudnn_refuses_is_a_reason(parts):
    cudnn, backend, _ = parts
    runner = CudnnRunner(cudnn, backend, Choices(None, "H200", "9"))
    assert runner.check(KEY) == ""

    def refuse(**_):
        raise RuntimeError("no engine\nand much more")

    cudnn.pygraph = refuse
    assert runner.check(KEY) == ""  # asked once
    runner = CudnnRunner(cudnn, backend, Choices(None, "H200", "9"))
    assert runner.check(KEY) == f"cuDNN has no plan for {KEY}: no engine"


def test_missing_library_is_said(monkeypatch):
    library.load.cache_clear()
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match="nvidia-cudnn-frontend is not installed"):
        library.load()


def test_broken_and_old_libraries_are_said(monkeypatch):
    library.load.cache_clear()
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda name: object())
    found = types.SimpleNamespace(backend_version=lambda: 91400)
    monkeypatch.setattr(library.importlib, "import_module", lambda name: found)
    with pytest.raises(DeviceError, match=r"of version 9\.14\.0, the engine needs 9\.19"):
        library.load()
    found.backend_version = lambda: 1 // 0
    with pytest.raises(DeviceError, match="cannot be loaded: integer division"):
        library.load()


def test_engine_is_taken_when_it_is_asked_for(monkeypatch):
    backend = TapeBackend()
    backend.name = "cupy"
    monkeypatch.delenv(engines.VARIABLE, raising=False)
    monkeypatch.setattr(library, "shared_runner", lambda backend: "runner")
    monkeypatch.setenv(engines.VARIABLE, "cudnn:bf16")
    (engine,) = engines.default_engines(backend)
    assert engine.name == "CUDNN" and engine.context.kind == "BF16"
    monkeypatch.setenv(engines.VARIABLE, "CUDNN:INT4")
    with pytest.raises(DeviceError, match="no type INT4"):
        engines.default_engines(backend)


def test_plan_that_was_built_to_see_whether_there_is_one_is_used(parts):
    cudnn, backend, _ = parts
    made, build = [], cudnn.pygraph
    cudnn.pygraph = lambda **how: made.append(how["io_data_type"]) or build(**how)
    runner = CudnnRunner(cudnn, backend, Choices(None, "H200", "9"), Reference())
    assert runner.check(KEY) == ""
    runner.run(KEY, arrays())
    assert made.count("HALF") == 3  # as many as there are plans


def test_no_further_plan_is_tried_once_one_is_right_and_building_took_long(parts, monkeypatch):
    cudnn, backend, log = parts
    monkeypatch.setattr(library, "ENOUGH", 0.0)
    monkeypatch.setattr(Graph, "get_execution_plan_count", lambda graph: 5)
    CudnnRunner(cudnn, backend, Choices(None, "H200", "9"), Reference()).run(KEY, arrays())
    assert {at for kind, at in log[:-2]} == {0, 1}  # the first is wrong


def test_plan_that_is_found_in_the_place_of_others_is_tried_once(parts, monkeypatch):
    cudnn, backend, log = parts

    def build(graph, index):
        if index == 0:
            raise RuntimeError("deselected")
        graph.at = index

    monkeypatch.setattr(Graph, "build_plan_at_index", build)
    CudnnRunner(cudnn, backend, Choices(None, "H200", "9"), Reference()).run(KEY, arrays())
    assert log.count(("HALF", 1)) == 1 + library.RUNS and ("HALF", 2) in log


def test_values_that_have_overflowed_refuse_no_plan(parts):
    cudnn, backend, log = parts
    runner, given = CudnnRunner(cudnn, backend, Choices(None, "H200", "9"), Reference()), arrays()
    given["dy"][:2] = np.inf, np.nan
    runner.run(KEY, given)
    assert runner.plan_name(KEY) == "eng2" and given["db"][0] == np.inf and np.isnan(given["db"][1])


def test_workspace_is_kept_for_the_chosen_plan_alone(parts, monkeypatch):
    cudnn, backend, _ = parts
    monkeypatch.setattr(Graph, "get_workspace_size_plan_at_index", lambda graph, index: (1 << 24) >> index)
    runner = CudnnRunner(cudnn, backend, Choices(None, "H200", "9"), Reference())
    runner.run(KEY, arrays())
    assert [each.nbytes for each in runner._workspaces] == [1 << 22]


def test_plan_whose_workspace_has_no_room_is_left_out(parts, monkeypatch):
    cudnn, backend, _ = parts
    empty = backend.xp.empty

    def full(n, dtype):
        if n > 1 << 30:
            raise MemoryError
        return empty(n, dtype)

    backend.xp.empty = full
    monkeypatch.setattr(Graph, "get_workspace_size_plan_at_index", lambda graph, index: (index == 2) << 31)
    runner = CudnnRunner(cudnn, backend, Choices(None, "H200", "9"), Reference())
    runner.run(KEY, arrays())
    assert runner.plan_name(KEY) == "eng1"


def test_sum_that_is_nothing_but_rounding_is_measured_by_its_terms():
    largest = {"dy": 2.0, "x": 3.0}.__getitem__
    assert least(BiasGradient((4, 2, 3, 3), "FP32"), "db", largest) == 12
    assert least(Norm((4, 2, 3, 3), "FP32"), "mean", largest) == 3
    assert least(Norm((4, 2, 3, 3), "FP32"), "y", largest) == 0
