"""Loops of our own as machine code: LLVM makes them when they are first wanted, and oneDNN's own threads run them.

oneDNN has no primitive for what a normalisation adds up or for a solver's update, and what it has in their place goes
over memory more often than need be. A loop is a function of one array of 8-byte slots (pointers and whole numbers);
every thread of the team calls it and takes its share of the work.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

TEAM = ("omp_get_thread_num", "omp_get_num_threads", "GOMP_barrier")  # what loops call


TRIAL = """
define void @trial(ptr %place) {
  %old = load <4 x double>, ptr %place, align 8
  %new = fadd <4 x double> %old, %old
  store <4 x double> %new, ptr %place, align 8
  ret void
}
"""

_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Compiler:
    """LLVM for this processor, and the threads of libgomp.

    impl  what `--explain` calls the loops: "llvm:znver5"
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
        self.impl = f"llvm:{llvm.get_host_cpu_name()}"
        self._engines: list[Any] = []  # own the code

    def compile(self, module: Any) -> int:
        """The address of the module's function, which has the module's name."""
        return self._compile(str(module), module.name)

    def works(self) -> bool:
        """Whether new code runs: a system may forbid it."""
        numbers = np.ones(4)
        self.run(self._compile(TRIAL, "trial"), numbers, alone=True)
        return bool((numbers == 2).all())

    def _compile(self, text: str, name: str) -> int:
        llvm = self._llvm
        parsed = llvm.parse_assembly(text)
        parsed.verify()
        machine = self._machine()
        builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
        builder.getModulePassManager().run(parsed, builder)
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

    def run(self, address: int, slots: np.ndarray, alone: bool = False) -> None:
        """Every thread of the team calls the function with the slots; `alone` the calling one, which then is all."""
        if alone:
            _FUNCTION(address)(slots.ctypes.data)
        else:
            self._parallel(address, slots.ctypes.data, 0, 0)


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
def loop(name: str, width: int, *options: bool | int, reduced: bool = False) -> int:
    """The address of a loop for vectors of so many numbers, in memory float32 or bfloat16: compiled once."""
    from layerforge.engines.onednn.catalogue import make  # needs llvmlite

    found = compiler()
    assert found is not None
    return found.compile(make(name, width, reduced, *options))
