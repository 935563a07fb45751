"""Every kernel of every .cu file is compared with NumPy, on the CPU: its arithmetic is known without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cpu_kernels import kernel_texts, needs_compiler

from layerforge.backends.cupy.kernels import FOLDER

TESTS = Path(__file__).resolve().parents[1]
FOLDER_OF_TESTS = TESTS / "backends" / "cupy"
PACKAGE = FOLDER.parents[1]
COMPARING = "not float64"
APART = ("golden_on_stand_in", "layers_on_stand_in", "command_line", "recorder", "device", "kernels")  # of whole nets
KERNELS = sorted((path.name, kernel) for path in FOLDER.glob("*.cu") for kernel in kernel_texts(path.name))


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, ...]]:
    """(file, kernel) of all that runs in the tests beside the kernels."""
    needs_compiler()
    census = tmp_path_factory.mktemp("census") / "kernels"
    command = [sys.executable, "-m", "pytest", "-p", "kernel_census", "--census", str(census), "-p", "no:cacheprovider",
               "-m", "not gpu", "-k", COMPARING, str(FOLDER_OF_TESTS),
               *(f"--ignore={FOLDER_OF_TESTS}/test_{name}.py" for name in APART)]
    paths = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=TESTS.parent, env={**environment, "PYTHONPATH": paths}, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {tuple(line.split()) for line in census.read_text().splitlines()}


@pytest.mark.parametrize("file, kernel", KERNELS, ids=["/".join(each) for each in KERNELS])
def test_kernel_is_compared_with_numpy(file: str, kernel: str, compared: set[tuple[str, ...]]) -> None:
    assert (file, kernel) in compared, f"no test of tests/backends/cupy compares {kernel} of {file} with NumPy"


def test_kernel_files_stand_in_one_folder() -> None:
    """There the other tests look for them: each compiles, spills nothing, is compared."""
    assert {path.parent for path in PACKAGE.rglob("*.cu")} == {FOLDER}
    assert len(KERNELS) == sum(path.read_text().count("__global__") for path in FOLDER.glob("*.cu"))
