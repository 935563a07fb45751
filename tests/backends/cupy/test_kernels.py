"""The kernel files: each compiles alone without a GPU, spills no registers, and gets the right types."""

import io
import re
import shutil
import subprocess

import numpy as np
import pytest

from layerforge.backends.cupy import kernels
from layerforge.core.errors import DeviceError

FILES = sorted(path.name for path in kernels.FOLDER.glob("*.cu"))
ARCHITECTURE = "sm_90"


def compile_for_gpu(file, tmp_path):
    """What the compiler says about the file: by nvcc, else by NVRTC."""
    if shutil.which("nvcc"):
        command = [
            "nvcc",
            f"-arch={ARCHITECTURE}",
            "-cubin",
            "-Xptxas",
            "-v",
            f"-I{kernels.FOLDER}",
            "-o",
            tmp_path / "out.cubin",
            kernels.FOLDER / file,
        ]
        made = subprocess.run(command, check=False, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        return made.stderr
    return compile_by_nvrtc(file)


def compile_by_nvrtc(file, real="float"):
    """The same by the Python package alone, as where there is no nvcc."""
    try:
        from cuda.core import Program, ProgramOptions
    except ImportError as error:
        pytest.skip(f"kernels cannot be compiled by the package cuda-core: {error}")
    log = io.StringIO()
    options = ProgramOptions(arch=ARCHITECTURE, std="c++17", include_path=str(kernels.FOLDER), ptxas_options="-v",
                             define_macro=("REAL", real))
    try:
        program = Program((kernels.FOLDER / file).read_text("utf-8"), "c++", options)
    except Exception as error:
        pytest.skip(f"cuda-core finds no NVRTC library: {str(error).splitlines()[0]}")
    program.compile("cubin", logs=log)
    return log.getvalue()


def check_spills(log):
    spilled = [int(n) for n in re.findall(r"(\d+) bytes spill stores", log)]
    assert spilled, log
    assert not any(spilled), log


@pytest.mark.parametrize("file", FILES)
def test_file_compiles_alone_without_spills(file, tmp_path):
    check_spills(compile_for_gpu(file, tmp_path))


@pytest.mark.parametrize("real", sorted(kernels.REALS.values()))
@pytest.mark.parametrize("file", FILES)
def test_file_compiles_by_the_package_without_spills(file, real):
    check_spills(compile_by_nvrtc(file, real))


def test_there_are_kernel_files():
    assert {"matmul.cu", "pooling.cu", "softmax.cu", "convolution.cu", "update.cu"} <= set(FILES)


def test_kernel_names_are_used_once():
    pattern = r'extern "C" __global__ void\s+(?:__launch_bounds__\(\w+\)\s+)?(\w+)'
    names = [name for file in FILES for name in re.findall(pattern, (kernels.FOLDER / file).read_text("ascii"))]
    assert len(names) == len(set(names))


def test_python_and_cuda_agree_on_the_threads_of_a_block():
    assert re.search(r"#define THREADS (\d+)", (kernels.FOLDER / "common.cuh").read_text()).group(1) == str(
        kernels.THREADS
    )


def test_blocks_cover_the_count_up_to_a_limit():
    assert [kernels.blocks(n) for n in (0, 1, 256, 257)] == [1, 1, 1, 2]
    assert kernels.blocks(2**31) == kernels.MOST_BLOCKS


def test_numbers_are_typed_as_kernels_declare_them():
    real = np.dtype(np.float64)
    assert type(kernels.typed(3, real)) is np.int32
    assert type(kernels.typed(True, real)) is np.int32
    assert type(kernels.typed(0.5, real)) is np.float64
    assert type(kernels.typed(0.5, np.dtype(np.float32))) is np.float32
    assert type(kernels.typed(np.uint64(3), real)) is np.uint64
    assert kernels.typed(None, real) == 0 and kernels.typed(None, real).nbytes == 8


def test_number_that_32_bits_cannot_hold_is_refused():
    with pytest.raises(OverflowError):
        kernels.typed(2**31, np.dtype(np.float32))


def test_options_refuse_a_type_without_kernels():
    assert "-DREAL=double" in kernels.options(np.float64)
    with pytest.raises(DeviceError, match="int64"):
        kernels.options(np.int64)


class FakeCupy:
    """Counts what is compiled and records what is launched."""

    def __init__(self):
        self.compiled, self.launched = [], []
        self.cuda = type("cuda", (), {"compiler": type("compiler", (), {"CompileException": ZeroDivisionError})})

    def RawModule(self, code, options):
        self.compiled.append((code, options))
        return self

    def compile(self):
        if "ABSENT" in self.compiled[-1][0]:
            raise RuntimeError("libnvrtc.so.13 was not found")
        if "FAIL" in self.compiled[-1][0]:
            raise ZeroDivisionError("line 3: no")

    def get_function(self, name):
        return lambda grid, block, arguments, stream: self.launched.append((name, grid, block, arguments, stream))


@pytest.fixture
def cupy(monkeypatch):
    fake = FakeCupy()
    monkeypatch.setitem(__import__("sys").modules, "cupy", fake)
    for cache in (kernels.module, kernels.function):
        cache.cache_clear()
    yield fake
    for cache in (kernels.module, kernels.function):
        cache.cache_clear()


def test_file_is_compiled_once_for_each_type(cupy):
    launcher = kernels.Kernels(None, 0, "stream")
    for dtype in (np.float32, np.float32, np.float64):
        launcher.launch("softmax.cu", "softmax", 4, 7, dtype=dtype)
    assert [options[1] for _, options in cupy.compiled] == ["-DREAL=float", "-DREAL=double"]
    assert cupy.launched[0] == ("softmax", (4,), (kernels.THREADS,), (7,), "stream")


def test_missing_compiler_is_said(cupy, monkeypatch, tmp_path):
    (tmp_path / "any.cu").write_text("ABSENT")
    monkeypatch.setattr(kernels, "FOLDER", tmp_path)
    with pytest.raises(DeviceError, match=r"any\.cu cannot be compiled: libnvrtc") as caught:
        kernels.Kernels(None, 0, None).launch("any.cu", "f", 1)
    assert "layerforge[gpu]" in caught.value.hint


def test_changed_header_changes_the_options(monkeypatch, tmp_path):
    monkeypatch.setattr(kernels, "FOLDER", tmp_path)
    (tmp_path / "common.cuh").write_text("one")
    before = kernels.options(np.float32)
    (tmp_path / "common.cuh").write_text("two")
    assert kernels.options(np.float32) != before


def test_compiler_error_names_the_file(cupy, monkeypatch, tmp_path):
    (tmp_path / "bad.cu").write_text("FAIL")
    monkeypatch.setattr(kernels, "FOLDER", tmp_path)
    with pytest.raises(DeviceError, match=r"bad\.cu does not compile for this GPU: line 3"):
        kernels.Kernels(None, 0, None).launch("bad.cu", "f", 1)
