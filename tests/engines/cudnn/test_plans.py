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
from cudnn_nets import net_on_cudnn, nets_of

from layerforge.core.errors import DeviceError
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
from layerforge.netdef.types import Phase
from layerforge.zoo.catalogue import DEPLOY, TRAIN_VAL, models

HERE = Path(__file__).parent
NETS = sorted(name for name, model in models().items() if {TRAIN_VAL, DEPLOY} & set(model.nets))
BATCH = 64
BUILT: set = set()  # graphs that have a plan
SOME = ("lenet", "alexnet", "googlenet", "resnet50", "mobilenet_v1", "vgg16")  # in the fast suite


def keys_of(name: str, kind: str) -> set:
    """The graphs of a model's nets: of the train net for a batch of BATCH."""
    found = set()
    for definition, phase in nets_of(name):
        steps = net_on_cudnn(definition, phase, kind).steps
        keys = {key for step in steps if step.engine == "CUDNN" for key in step.keys()}
        found |= {with_batch(key) for key in keys} if phase is Phase.TRAIN else keys
    return found


def with_batch(key: Any) -> Any:
    """The same graph for a batch of training."""
    if hasattr(key, "geometry"):
        return replace(key, geometry=replace(key.geometry, x=(BATCH, *key.geometry.x[1:])))
    return replace(key, y=(BATCH, *key.y[1:]))


def norms_of(shape: Any, kind: str) -> set:
    """Normalisations of this shape in all the forms that the engine has."""
    flags = ((False, False), (False, True), (True, True))
    found = {form(shape, kind, add, relu) for form in (Norm, NormInference) for add, relu in flags}
    return found | {NormGradient(shape, kind, add, relu) for add, relu in flags}


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
    keys |= {Convolution(g, kind, True, add, True, True) for g in GEOMETRIES for add in (False, True)}
    check(keys | {BiasGradient(GEOMETRIES[0].y, kind)} | norms_of(GEOMETRIES[0].y, kind), tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("LAYERFORGE_PLANS"), reason="takes minutes; `make gpu-plans` runs it")
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("kind", ["BF16", "FP16", "FP32"])
def test_each_graph_of_the_zoo_has_a_plan(name: str, kind: str, tmp_path: Path) -> None:
    keys = keys_of(name, kind)
    if not keys:
        pytest.skip("cuDNN takes no layer of this net")
    check(keys - BUILT, tmp_path)  # nets share many
    BUILT.update(keys)


@pytest.mark.parametrize("name", SOME)
def test_products_of_the_zoo_are_taken_in_training_and_inference(name: str) -> None:
    for definition, phase in nets_of(name):
        net = net_on_cudnn(definition, phase, "BF16")
        taken = {i for step in net.steps if step.engine == "CUDNN" for i in step.layers}
        types = ("Convolution", "DepthwiseConvolution", "InnerProduct", "BatchNorm", "Pooling")
        assert not [layer.name for i, layer in enumerate(net.layers) if layer.type in types and i not in taken]


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
