"""One system in a process of its own: `python worker.py SYSTEM NET MODE BATCH KIND`, or `python worker.py machine`.

Answers with one line of JSON: {"ms": …, "mib": …, "moved": …, "note": …, "setup": …}, or {"missing": why}.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import traceback
from pathlib import Path

sys.path[:1] = [str(Path(__file__).resolve().parents[1])]
import checkout  # noqa: E402,F401
from bench.nets import Case  # noqa: E402
from bench.systems import Missing  # noqa: E402
from gpu import systems  # noqa: E402

from layerforge.core.errors import LayerForgeError  # noqa: E402

SECONDS, ROUNDS = (0.001, 2) if systems.STANDS_IN else (1.0, 3)


def timed(name: str, net: str, mode: str, batch: str, kind: str) -> dict[str, object]:
    """Milliseconds of a step, the median of rounds of about a second each."""
    began = time.perf_counter()
    made = systems.SYSTEMS[name](Case(net, mode, int(batch)), kind)
    setup = time.perf_counter() - began
    started = time.perf_counter()
    made.run(2)
    steps = max(2, int(SECONDS / max((time.perf_counter() - started) / 2, 1e-5)))
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        made.run(steps)
        rounds.append((time.perf_counter() - started) / steps * 1e3)
    return {"ms": statistics.median(rounds), "mib": made.used() / 2**20, "moved": made.moved, "note": made.note,
            "setup": setup}


def main(*arguments: str) -> None:
    try:
        if arguments == ("machine",):
            found = {"name": systems.device_name(), "bandwidth": systems.bandwidth()}
        else:
            found = timed(*arguments)
    except Missing as error:
        found = {"missing": str(error).replace("\n  hint:", ";")}
    except LayerForgeError as error:
        found = {"missing": error.message}
    except Exception as error:  # a net that fails is a fact, and must not end the run
        traceback.print_exc()
        found = {"missing": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
