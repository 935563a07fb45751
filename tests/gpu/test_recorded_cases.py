"""Every recorded case of Caffe on the GPU: by the kernels, then by cuDNN, which picks a plan for every shape first."""

import importlib.util

import pytest
from golden_cases import GOLDEN, run_case
from gpu.conftest import engines_of, one_skip
from gpu.gpu import few

from layerforge.core.errors import DataError
from layerforge.engines import VARIABLE
from layerforge.pycaffe import modes

pytestmark = pytest.mark.gpu

CASES = sorted(GOLDEN.rglob("*.npz"))[:: few(1, 60)]
BY = [(path, engine) for engine in ("NONE", "CUDNN:FP32") for path in CASES]
NAMES = [f"{engine.partition(':')[0].lower()}-{path.parent.name}/{path.stem}" for path, engine in BY]


@pytest.mark.parametrize("case", one_skip(BY, NAMES))
def test_recorded_case_agrees_on_the_device(case, device, tmp_path, monkeypatch):
    path, engine = case
    if engine != "NONE":
        engines_of(device, "FP32", monkeypatch)
    monkeypatch.setenv(VARIABLE, engine)
    monkeypatch.setattr(device, "pictures", None, raising=False)  # recorded pictures were decoded by the CPU
    monkeypatch.setattr(modes, "backend", lambda: device)
    try:
        run_case(path, tmp_path, monkeypatch)
    except DataError as error:
        if "lmdb" in error.message and importlib.util.find_spec("lmdb") is None:
            pytest.skip("lmdb is not installed: its databases cannot be read")
        raise
