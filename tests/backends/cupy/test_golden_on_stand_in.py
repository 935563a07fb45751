"""Every recorded case agrees with the GPU's kernels too, built for the CPU, on memory apart from the host's."""

import pytest
from cpu_kernels import needs_compiler
from golden_cases import GOLDEN, run_case
from tape import TapeBackend

from layerforge.pycaffe import modes

CASES = sorted(path for path in GOLDEN.rglob("*.npz"))


@pytest.mark.parametrize("path", CASES, ids=[f"{path.parent.name}/{path.stem}" for path in CASES])
def test_recorded_case_agrees(path, tmp_path, monkeypatch):
    needs_compiler()
    device = TapeBackend()
    monkeypatch.setattr(modes, "backend", lambda: device)
    run_case(path, tmp_path, monkeypatch)
