"""Every recorded case under tests/golden agrees. A folder gets its cases by having their files in it."""

import pytest
from golden_cases import GOLDEN, run_case

CASES = sorted(path for path in GOLDEN.rglob("*.npz"))


def test_there_are_cases():
    assert CASES


@pytest.mark.parametrize("path", CASES, ids=[f"{path.parent.name}/{path.stem}" for path in CASES])
def test_recorded_case_agrees(path, tmp_path, monkeypatch):
    run_case(path, tmp_path, monkeypatch)
