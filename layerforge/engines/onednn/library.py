"""oneDNN's C library through ctypes: where it is, what its functions take, and one engine and stream for the process.

Source of names and numbers: oneDNN's C API, version 3 (equal in 3.2 and 3.13).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_int64, c_size_t, c_uint, c_void_p
from typing import Any

from layerforge.core import threads
from layerforge.core.errors import DeviceError
from layerforge.engines.onednn.openmp import OpenMp

PATH_VARIABLE = "LAYERFORGE_ONEDNN"  # names a libdnnl.so of one's own
PACKAGE = "onednn-cpu-gomp"
STATUS = {
    1: "out of memory",
    2: "invalid arguments",
    3: "unimplemented",
    4: "last implementation reached",
    5: "runtime error",
    6: "not required",
}
CPU, IN_ORDER = 1, 1
UNIMPLEMENTED = 3
AVX512_BF16 = 0xE7  # the bits of dnnl_cpu_isa_avx512_core_bf16, which AMX has too

_KINDS: dict[str, Any] = {
    "p": c_void_p,
    "o": POINTER(c_void_p),
    "i": c_int,
    "u": c_uint,
    "l": c_int64,
    "f": c_float,
    "z": c_size_t,
    "d": POINTER(c_int64),
}
# One letter an argument: p handle, o handle out, i int or enum, u flags, l 64-bit size, f float, z size_t, d dims.
_SIGNATURES = {
    "engine_create": "oiz",
    "stream_create": "opu",
    "stream_wait": "p",
    "memory_desc_create_with_tag": "oidii",
    "memory_desc_create_with_strides": "oidid",
    "memory_desc_create_submemory": "opdd",
    "memory_desc_clone": "op",
    "memory_desc_destroy": "p",
    "memory_desc_reshape": "opid",
    "memory_desc_query": "pip",
    "memory_create": "oppp",
    "memory_destroy": "p",
    "memory_set_data_handle": "pp",
    "primitive_attr_create": "o",
    "primitive_attr_destroy": "p",
    "primitive_attr_set_scratchpad_mode": "pi",
    "primitive_attr_set_post_ops": "pp",
    "primitive_attr_set_fpmath_mode": "pi",
    "post_ops_create": "o",
    "post_ops_destroy": "p",
    "post_ops_append_eltwise": "piff",
    "post_ops_append_sum": "pfii",
    "post_ops_append_binary": "pip",
    "primitive_desc_destroy": "p",
    "primitive_desc_query": "piip",
    "primitive_create": "op",
    "primitive_destroy": "p",
    "primitive_execute": "ppip",
    "reorder_primitive_desc_create": "oppppp",
    "convolution_forward_primitive_desc_create": "opiippppddddp",
    "convolution_backward_data_primitive_desc_create": "opipppddddpp",
    "convolution_backward_weights_primitive_desc_create": "opippppddddpp",
    "deconvolution_forward_primitive_desc_create": "opiippppddddp",
    "deconvolution_backward_data_primitive_desc_create": "opipppddddpp",
    "deconvolution_backward_weights_primitive_desc_create": "opippppddddpp",
    "inner_product_forward_primitive_desc_create": "opippppp",
    "inner_product_backward_data_primitive_desc_create": "opppppp",
    "inner_product_backward_weights_primitive_desc_create": "oppppppp",
    "pooling_forward_primitive_desc_create": "opiippdddddp",
    "pooling_backward_primitive_desc_create": "opippdddddpp",
    "lrn_forward_primitive_desc_create": "opiipplfffp",
    "lrn_backward_primitive_desc_create": "opippplfffpp",
    "batch_normalization_forward_primitive_desc_create": "opippfup",
    "batch_normalization_backward_primitive_desc_create": "opipppfupp",
    "eltwise_forward_primitive_desc_create": "opiippffp",
    "eltwise_backward_primitive_desc_create": "opipppffpp",
    "softmax_forward_primitive_desc_create": "opiippip",
    "softmax_backward_primitive_desc_create": "opipppipp",
    "sum_primitive_desc_create": "oppippp",
    "concat_primitive_desc_create": "oppiipp",
    "binary_primitive_desc_create": "opipppp",
    "matmul_primitive_desc_create": "opppppp",
    "reduction_primitive_desc_create": "opippffp",
}


class ExecArg(ctypes.Structure):
    """dnnl_exec_arg_t: which argument, and the memory object."""

    _fields_ = (("arg", c_int), ("memory", c_void_p))


class OneDnnError(RuntimeError):
    """A call that oneDNN refused; `status` is its number. A lowering rule turns it into a Refusal."""

    def __init__(self, function: str, status: int) -> None:
        super().__init__(f"{function}: {STATUS.get(status, status)}")
        self.status = status


class Library:
    """The loaded library with its CPU engine and one in-order stream. `call` raises OneDnnError.

    bf16  whether the processor multiplies bfloat16 numbers itself (AVX-512 BF16 or AMX)
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._dll = ctypes.CDLL(path)  # releases the GIL during calls
        for name, kinds in _SIGNATURES.items():
            function = getattr(self._dll, f"dnnl_{name}")
            function.argtypes, function.restype = [_KINDS[k] for k in kinds], c_int
        self._dll.dnnl_memory_desc_get_size.argtypes, self._dll.dnnl_memory_desc_get_size.restype = [c_void_p], c_size_t
        self._dll.dnnl_memory_desc_equal.argtypes = [c_void_p, c_void_p]
        self._dll.dnnl_memory_desc_equal.restype = c_int
        self._dll.dnnl_primitive_desc_query_md.argtypes = [c_void_p, c_int, c_int]
        self._dll.dnnl_primitive_desc_query_md.restype = c_void_p
        self._dll.dnnl_get_effective_cpu_isa.restype = c_int
        self.bf16 = self._dll.dnnl_get_effective_cpu_isa() & AVX512_BF16 == AVX512_BF16
        self._dll.dnnl_version.restype = POINTER(c_int * 3)
        self.pool = OpenMp(self._dll)
        self.version = ".".join(str(n) for n in self._dll.dnnl_version().contents)
        self.execute = self._dll.dnnl_primitive_execute
        self.engine = self.make("engine_create", CPU, 0)
        self.stream = self.make("stream_create", self.engine, IN_ORDER)

    def function(self, name: str) -> Any:
        """dnnl_<name> itself."""
        return getattr(self._dll, f"dnnl_{name}")

    def call(self, name: str, *args: Any) -> None:
        """Runs dnnl_<name>; raises OneDnnError unless it succeeds."""
        status = getattr(self._dll, f"dnnl_{name}")(*args)
        if status:
            raise OneDnnError(name, status)

    def make(self, name: str, *args: Any) -> int:
        """Runs a function whose first argument is the handle it makes, and returns the handle."""
        handle = c_void_p()
        self.call(name, byref(handle), *args)
        assert handle.value is not None
        return handle.value

    def desc_size(self, desc: int) -> int:
        """Bytes of a memory descriptor's buffer."""
        return int(self._dll.dnnl_memory_desc_get_size(desc))

    def desc_of(self, primitive_desc: int, what: int, index: int = 0) -> int | None:
        """A descriptor owned by a primitive descriptor, or None."""
        found: int | None = self._dll.dnnl_primitive_desc_query_md(primitive_desc, what, index)
        return found

    def text_of(self, primitive_desc: int) -> str:
        """The name of the implementation that was chosen."""
        text = c_char_p()
        self.call("primitive_desc_query", primitive_desc, 8, 0, byref(text))  # 8: impl_info_str
        return (text.value or b"").decode()


def dims(values: Any) -> Any:
    """A dnnl_dims_t; oneDNN has room for 12 axes."""
    values = tuple(int(v) for v in values)
    return (c_int64 * 12)(*values)


SPINS = {"GOMP_SPINCOUNT": "10000", "OMP_WAIT_POLICY": "ACTIVE"}
"""How long a thread of libgomp, which reads this when it is loaded, looks for work before it sleeps: some ten
microseconds. Its default is milliseconds, in which threads that wait take the cores from those that work as soon as
another program runs: LeNet then takes 190 ms an iteration instead of 4. The policy counts when there are more threads
than cores, as when two Python threads have run nets: without it they hardly look at all, and GoogLeNet takes 13 ms
instead of 8."""


@functools.cache
def load() -> Library:
    """The library of this process.

    Raises DeviceError with every place that was tried and why it failed.
    """
    with _said_to_libgomp():
        return _load()


def check_type(kind: str) -> None:
    """Raises DeviceError unless products can be computed in this type here; FP32 always can be."""
    if kind == "FP32":
        return
    if kind != "BF16":
        raise DeviceError(f"compute_type: {kind} is for GPUs, the CPU has FP32 and BF16",
                          hint="remove compute_type, write BF16, or compute on a GPU")
    try:
        library = load()
    except DeviceError as error:
        raise DeviceError(f"compute_type: BF16 needs oneDNN: {error.message}",
                          hint=f"{error.hint}; or remove compute_type") from None
    if not library.bf16:
        raise DeviceError("compute_type: BF16 needs a processor with AVX-512 BF16 or AMX, which this one has not",
                          hint="remove compute_type: bfloat16 would be emulated, and slower than float32")


@contextlib.contextmanager
def _said_to_libgomp() -> Iterator[None]:
    """libgomp counts the cores of the machine, not those that a control group leaves: it is told here. What the
    environment says already counts, and is left as it was."""
    wishes = {"OMP_NUM_THREADS": str(threads.count())}
    if not any(name in os.environ for name in SPINS):
        wishes.update(SPINS)
    new = {name: value for name, value in wishes.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


def _load() -> Library:
    tried = []
    for path in _candidates():
        try:
            return Library(path)
        except (OSError, AttributeError, OneDnnError) as error:
            tried.append(f"{path}: {error}")
    reasons = "; ".join(tried) or f"the package {PACKAGE} is not installed"
    raise DeviceError(f"oneDNN cannot be loaded ({reasons})", hint=_cure(reasons))


def _cure(reasons: str, system: str = sys.platform, processor: str = platform.machine()) -> str:
    """What to do about a oneDNN that does not load."""
    if os.environ.get(PATH_VARIABLE):
        return f"{PATH_VARIABLE} must name a libdnnl.so.3 of version 3"
    if system != "linux" or processor not in ("x86_64", "AMD64"):
        return f"{PACKAGE} is for Linux on x86-64; elsewhere set {PATH_VARIABLE} to a oneDNN 3 of your own"
    if "libgomp" in reasons:
        return "install the system's libgomp (apt install libgomp1, dnf install libgomp, apk add libgomp)"
    return f"pip install {PACKAGE}, or set {PATH_VARIABLE} to a libdnnl.so.3"


def _candidates() -> Iterator[str]:
    own = os.environ.get(PATH_VARIABLE)
    if own:
        yield own
        return
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "libdnnl.so.3":
            yield os.path.realpath(str(file.locate()))
    yield "libdnnl.so.3"
