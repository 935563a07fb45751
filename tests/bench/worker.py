"""One system in a process of its own: `python worker.py SYSTEM NET MODE BATCH THREADS [FILE [fresh]]`.

fresh: it touches memory before, and only its making counts.

Answers with lines of JSON: first what was made, then for each line "N" the milliseconds of N steps.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import mmap
import sys
import time
from pathlib import Path

sys.path[:1] = [str(Path(__file__).resolve().parents[1])]
from bench.nets import Case  # noqa: E402
from bench.systems import SYSTEMS, Job, Missing  # noqa: E402

WARM = 3
TOUCHED = 1 << 31  # bytes


def resident(what: str) -> float:
    """MiB: VmRSS now, VmHWM the most since `begin_peak`. NaN where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:"))


def begin_peak() -> None:
    """From here on VmHWM is counted anew."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def find_memory() -> None:
    """Touches memory and gives it back: the host of a virtual machine may have to find it first, which takes seconds
    that belong to no system."""
    pages = mmap.mmap(-1, TOUCHED, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):
            pages.madvise(mmap.MADV_HUGEPAGE)
    for first in range(0, TOUCHED, mmap.PAGESIZE):
        pages[first] = 1
    pages.close()


def ready(system, job, fresh):
    """The step, and the facts of its making: seconds until the first step was done, MiB above the imports."""
    system.begin(job)
    if fresh:
        find_memory()
    begin_peak()
    before, start = resident("VmRSS"), time.perf_counter()
    made = system.make(job)
    made.step()
    setup = time.perf_counter() - start
    for _ in range(WARM - 1):
        made.step()
    peak = resident("VmHWM") - before
    return made.step, {"setup": setup, "peak": peak, "flops": made.flops}


def main(name, net, mode, batch, threads, file="", fresh=""):
    system = SYSTEMS[name]
    try:
        importlib.import_module(system.package)
        step, facts = ready(system, Job(Case(net, mode, int(batch)), int(threads), file), bool(fresh))
    except (ImportError, Missing) as error:
        print(json.dumps({"missing": str(error)}), flush=True)
        return
    except Exception as error:  # a peer that cannot run the net is a fact too, and must not end the run
        print(json.dumps({"missing": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"}), flush=True)
        if name.startswith("layerforge"):
            raise
        return
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            step()
            times.append((time.perf_counter() - start) * 1e3)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
