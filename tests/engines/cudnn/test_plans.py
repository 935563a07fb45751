"""Every graph that the zoo's nets ask for is one that cuDNN takes for a Hopper GPU; and which of its plans is chosen.

Plans are built without a device, from a file of device properties and a libcuda that does nothing, in a process of
their own: a library that is loaded once stays.
"""

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from numpy_cudnn import NumpyRunner
from tape import TapeBackend

import layerforge.zoo
from layerforge.backends.cupy.launcher import Launcher
from layerforge.core.errors import DeviceError
from layerforge.engines.cudnn.engine import CudnnEngine
from layerforge.engines.cudnn.graphs import (
    BiasGradient,
    Convolution,
    DataGradient,
    Geometry,
    Norm,
    NormGradient,
    NormInference,
    WeightGradient,
)
from layerforge.engines.cudnn.plans import Candidate, choose, measure
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import read_net

HERE = Path(__file__).parent
NETS = sorted(Path(layerforge.zoo.__path__[0]).glob("*/deploy.prototxt"))
BATCH = 64
SOME = ("lenet", "alexnet", "googlenet", "resnet50", "mobilenet_v1", "vgg16")  # in the fast suite


def keys_of(path: Path, kind: str) -> set:
    """The graphs of both passes of a net. Nothing runs, so no kernels are needed."""
    backend = TapeBackend(records=False)
    backend.ops.kernels = Launcher(backend.xp)
    engines = [CudnnEngine(backend, NumpyRunner(backend), kind)]
    net = build_net(read_net(str(path)), Phase.TRAIN, backend=backend, engines=engines)
    for step in net.steps:  # as in training: a net to deploy has no loss that would ask for gradients
        step.needed = True
        if step.engine == "CUDNN":
            step.parts[0].needed, step.parts[0].propagate_down = True, [step.layers[0] > 1]
            step._layer.needs_gradient = [True] * len(step._layer.blobs)
    keys = {with_batch(key) for step in net.steps if step.engine == "CUDNN" for key in step.keys()}
    return keys | (norms_of(keys) if any(layer.type == "BatchNorm" for layer in net.layers) else set())


def with_batch(key: Any) -> Any:
    """The same graph for a batch of training."""
    if isinstance(key, BiasGradient):
        return replace(key, y=(BATCH, *key.y[1:]))
    return replace(key, geometry=replace(key.geometry, x=(BATCH, *key.geometry.x[1:])))


def norms_of(keys: set) -> set:
    """Normalisations behind the convolutions, in all the forms that nets have. cuDNN wants the channels by eights."""
    outs = {(key.geometry.y, key.kind) for key in keys if isinstance(key, Convolution)}
    shapes = {(y, kind) for y, kind in outs if y[1] % 8 == 0 and y[2] > 1}
    found = set()
    for shape, kind in shapes:
        found |= {Norm(shape, kind, add, relu) for add, relu in ((False, False), (False, True), (True, True))}
        found |= {NormInference(shape, kind, True, True), NormGradient(shape, kind)}
    return found


def libraries() -> list[str]:
    """The folders of cuDNN and what it loads; skips where they are missing."""
    folders = []
    for module in ("cudnn", "nvidia.cudnn"):
        try:
            found = importlib.util.find_spec(module)
        except ImportError:
            found = None
        if found is None:
            pytest.skip(f"{module} is not installed: no plans can be built (pip install 'layerforge[gpu]')")
        for place in found.submodule_search_locations or ():
            folders += [str(lib) for lib in Path(place).parent.glob("*/lib")]
    return folders


def finalised(keys: set, tmp_path: Path) -> dict[str, str]:
    """graph → name of its plan, or why it has none."""
    folders = libraries()
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: the libcuda without a device cannot be built")
    library = tmp_path / "libcuda.so.1"
    command = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", library, HERE / "no_driver.c"]
    subprocess.run(command, check=True)
    asked = tmp_path / "keys.txt"
    asked.write_text("\n".join(sorted(map(repr, keys))))
    paths = os.pathsep.join([str(tmp_path), *folders, os.environ.get("LD_LIBRARY_PATH", "")])
    environment = {**os.environ, "LD_LIBRARY_PATH": paths, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = [sys.executable, HERE / "build_plans.py", asked, HERE / "h200.json"]
    made = subprocess.run(run, capture_output=True, text=True, env=environment, check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    return json.loads(made.stdout.splitlines()[-1])


def check(keys: set, tmp_path: Path) -> None:
    found = finalised(keys, tmp_path)
    without = {key: text for key, text in found.items() if not text.startswith("eng")}
    assert len(found) == len(keys) and not without, json.dumps(without, indent=1)[:4000]


GEOMETRIES = [
    Geometry((32, 64, 56, 56), (128, 64, 3, 3), (2, 2), (1, 1), (1, 1), (1, 1)),
    Geometry((32, 4, 224, 224), (64, 4, 7, 7), (2, 2), (3, 3), (3, 3), (1, 1)),
    Geometry((64, 512, 7, 7), (4096, 512, 7, 7), (1, 1), (0, 0), (0, 0), (1, 1)),
    Geometry((32, 64, 56, 56), (64, 1, 3, 3), (1, 1), (0, 1), (1, 0), (1, 1)),
]


@pytest.mark.parametrize("kind", ["BF16", "FP16", "TF32", "FP32"])
def test_each_form_has_a_plan(kind: str, tmp_path: Path) -> None:
    keys = {form(g, kind) for form in (DataGradient, WeightGradient) for g in GEOMETRIES}
    flags = [(bias, relu) for bias in (False, True) for relu in (False, True)]
    keys |= {Convolution(g, kind, bias, False, relu) for g in GEOMETRIES for bias, relu in flags}
    keys |= {Convolution(GEOMETRIES[0], kind, True, True, True), BiasGradient(GEOMETRIES[0].y, kind)}
    check(keys | norms_of({Convolution(GEOMETRIES[0], kind)}), tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("LAYERFORGE_PLANS"), reason="takes minutes; `make gpu-plans` runs it")
@pytest.mark.parametrize("path", NETS, ids=[path.parent.name for path in NETS])
@pytest.mark.parametrize("kind", ["BF16", "FP32"])
def test_each_graph_of_the_zoo_has_a_plan(path: Path, kind: str, tmp_path: Path) -> None:
    keys = keys_of(path, kind)
    assert keys
    check(keys, tmp_path)


@pytest.mark.parametrize("path", NETS, ids=[path.parent.name for path in NETS])
def test_convolutions_of_the_zoo_are_taken(path: Path) -> None:
    if path.parent.name not in SOME:
        pytest.skip("the larger nets are looked at by `make gpu-plans`")
    assert any(isinstance(key, Convolution) for key in keys_of(path, "BF16"))


def test_fastest_right_plan_is_chosen() -> None:
    plans = [Candidate(0, 3e-3, 1e-3), Candidate(1, 1e-3, 0.5), Candidate(2, 2e-3, 2e-3), Candidate(3, 1e-4, math.nan)]
    assert choose(plans, "BF16") == plans[2]
    assert choose(plans[1:2] + plans[3:], "BF16") is None
    assert choose(plans, "FP32") is None


def test_plan_that_cannot_run_is_left_out() -> None:
    def ready(index: int):
        if index == 1:
            raise DeviceError("no")
        return lambda: None

    found = measure(range(3), ready, lambda run: 1.0, lambda: 0.0)
    assert [candidate.index for candidate in found] == [0, 2]
