"""Loops of our own as machine code: LLVM makes them when they are first wanted, on a thread of its own while a net is
being planned, and oneDNN's threads run them.

oneDNN has no primitive for what a normalisation adds up or for a solver's update, and what it has in their place goes
over memory more often than need be. A loop is a function of one array of 8-byte slots (pointers and whole numbers);
every thread of the team calls it and takes its share of the work.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from layerforge.core import threads

TEAM = ("omp_get_thread_num", "omp_get_num_threads", "GOMP_barrier")  # what loops call
PASSES = ("sroa", "instruction_combine", "simplify_cfg")
"""What LLVM does before it writes code. The loops are of vectors and unrolled as they come: all that its usual passes
do beside takes as long again as these and the code, and makes no loop faster."""


TRIAL = """
define void @trial(ptr %place) {
  %old = load <4 x double>, ptr %place, align 8
  %new = fadd <4 x double> %old, %old
  store <4 x double> %new, ptr %place, align 8
  ret void
}
"""

_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Code:
    """A loop as machine code, on which LLVM may still be at work."""

    __slots__ = ("_made", "_address")

    def __init__(self, made: Callable[[], int]) -> None:
        self._made, self._address = made, 0

    @property
    def address(self) -> int:
        """Where it starts; waits until it is there."""
        if not self._address:
            self._address = self._made()
        return self._address


class Compiler:
    """LLVM for this processor, and the threads of libgomp.

    impl  what `--explain` calls the loops: "llvm:znver5"
    wide  whether there are 32 registers of 16 numbers
    """

    def __init__(self) -> None:
        import llvmlite.binding as llvm

        self._llvm = llvm
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        gomp = ctypes.CDLL("libgomp.so.1")  # the copy that oneDNN has loaded: one pool of threads for both
        for name in TEAM:
            llvm.add_symbol(name, ctypes.cast(getattr(gomp, name), ctypes.c_void_p).value)
        self._parallel = gomp.GOMP_parallel
        self._parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        self._parallel.restype = None
        self.wide = bool(llvm.get_host_cpu_features().get("avx512f"))
        self.impl = f"llvm:{llvm.get_host_cpu_name()}"
        self._engines: list[Any] = []  # own the code
        self._begun: list[Future[int]] = []
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self.settle, after_in_child=self._begin)  # no thread lives on in a child

    def compile(self, module: Any) -> Code:
        """The module's function, which has the module's name. With several threads, one of them compiles it while
        this one goes on."""
        if threads.count() == 1:
            address = self._compile(str(module), module.name)
            return Code(lambda: address)
        made = self._worker.submit(lambda: self._compile(str(module), module.name))
        self._begun = [each for each in self._begun if not each.done()] + [made]
        return Code(made.result)

    def settle(self) -> None:
        """Waits for all that is being compiled."""
        for each in self._begun:
            each.exception()

    def works(self) -> bool:
        """Whether new code runs: a system may forbid it."""
        numbers, address = np.ones(4), self._compile(TRIAL, "trial")
        self.run(Code(lambda: address), numbers, alone=True)
        return bool((numbers == 2).all())

    def _begin(self) -> None:
        self._worker = ThreadPoolExecutor(1, "layerforge compiler")

    def _compile(self, text: str, name: str) -> int:
        llvm = self._llvm
        parsed = llvm.parse_assembly(text)
        parsed.verify()
        machine = self._machine()
        passes = llvm.create_new_module_pass_manager()
        for each in PASSES:
            getattr(passes, f"add_{each}_pass")()
        passes.run(parsed, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
        engine = llvm.create_mcjit_compiler(parsed, machine)
        engine.finalize_object()
        self._engines.append(engine)
        return int(engine.get_function_address(name))

    def _machine(self) -> Any:
        llvm = self._llvm
        features = llvm.get_host_cpu_features().flatten()
        return llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features, opt=2
        )

    def run(self, code: Code, slots: np.ndarray, alone: bool = False) -> None:
        """Every thread of the team calls the function with the slots; `alone` the calling one, which then is all."""
        if alone:
            _FUNCTION(code.address)(slots.ctypes.data)
        else:
            self._parallel(code.address, slots.ctypes.data, 0, 0)


    def bound(self, code: Code, slots: np.ndarray, *needed: object) -> Callable[[], None]:
        """`run` with the slots as they are now; keeps alive what is needed."""
        slots, parallel, address = slots.copy(), self._parallel, code.address
        place = slots.ctypes.data

        def again(needed: object = (slots, needed)) -> None:
            parallel(address, place, 0, 0)

        return again


@functools.cache
def compiler() -> Compiler | None:
    """The compiler of this process; None where llvmlite or libgomp is missing or too old, or where no code can be made:
    that is tried here, for a plan counts on it."""
    try:
        found = Compiler()
        return found if found.works() else None
    except (ImportError, AttributeError, OSError, RuntimeError):
        return None


@functools.cache
def loop(name: str, width: int, *options: bool | int, reduced: bool = False) -> Code:
    """A loop for vectors of so many numbers, in memory float32 or bfloat16: compiled once."""
    from layerforge.engines.onednn.catalogue import make  # needs llvmlite

    found = compiler()
    assert found is not None
    return found.compile(make(name, width, reduced, *options))
