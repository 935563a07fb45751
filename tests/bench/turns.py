"""Systems in turns: one at a time on the same cores, each in a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.nets import Case
from bench.systems import OURS, READ_ONNX, SHOWN, SYSTEMS, environment

HERE = Path(__file__).resolve().parent
TOGETHER = 3  # so many peers hold their memory at once
TURN, MOST = 400.0, 50  # milliseconds of a turn, and its most steps


@dataclass
class Result:
    """What was measured of a case.

    ms       system → the median time of a step
    ratio    system → the median over the turns of its time ÷ LayerForge's in the same turn
    facts    system → setup (s), peak (MiB), flops
    missing  system → why it has no figures
    """

    case: Case
    ms: dict[str, float] = field(default_factory=dict)
    ratio: dict[str, float] = field(default_factory=dict)
    facts: dict[str, dict[str, float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def best(self, systems: Sequence[str]) -> str | None:
        """The fastest of them."""
        return min((name for name in systems if name in self.ms), key=self.ms.__getitem__, default=None)


class Worker:
    """A process that runs steps when asked. `facts` is what it says of the making, or {"missing": reason}."""

    def __init__(self, system: str, case: Case, threads: int, file: str = "", fresh: str = "") -> None:
        words = [system, case.net, case.mode, str(case.batch), str(threads), file, fresh]
        self.process = subprocess.Popen([sys.executable, str(HERE / "worker.py"), *words], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        env=environment(system, threads))
        self.facts = self._answer() or {"missing": "the process ended without an answer"}

    def _answer(self):
        """The next line of JSON; libraries may print other lines."""
        for line in self.process.stdout:
            if line.startswith(("{", "[")):
                return json.loads(line)
        return None

    def run(self, steps: int) -> float:
        """The median of so many steps, in milliseconds."""
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return statistics.median(self._answer() or [float("nan")])

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def measure(case: Case, threads: int, systems: Sequence[str], turns: int) -> Result:
    """All systems beside LayerForge, a few at a time."""
    peers = [name for name in systems if name != OURS and case.mode in SYSTEMS[name].modes]
    result, mine = Result(case), []
    left = [name for name in SYSTEMS if name not in systems and case.mode in SYSTEMS[name].modes]
    result.missing.update(dict.fromkeys(left, "not asked for"))
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "net.onnx")
        if any(name in READ_ONNX for name in peers):
            _export(case, file)
        for k in range(0, max(1, len(peers)), TOGETHER):
            mine += _group(result, threads, [OURS, *peers[k : k + TOGETHER]], turns, file)
    result.ms[OURS] = statistics.median(mine)
    if turns > 1:
        _make_again(result, threads, turns)
    return result


def _make_again(result: Result, threads: int, times: int) -> None:
    """Set-up and memory of those that are shown: medians over so many fresh processes, in turns."""
    shown: dict[str, list[dict[str, float]]] = {name: [] for name in SHOWN if name in result.facts}
    for _ in range(times):
        for name, found in shown.items():
            worker = Worker(name, result.case, threads, fresh="fresh")
            worker.close()
            found += [worker.facts] if "missing" not in worker.facts else []
    for name, found in shown.items():
        for what in ("setup", "peak"):
            result.facts[name] = {**result.facts[name], what: statistics.median(each[what] for each in found)}


def _export(case: Case, file: str) -> None:
    code = "import sys; sys.path[:1] = sys.argv[1:2]\nfrom bench.systems import Case, export\n" \
           "export(Case(*sys.argv[2:4], int(sys.argv[4])), sys.argv[5])"
    words = [str(HERE.parent), case.net, case.mode, str(case.batch), file]
    subprocess.run([sys.executable, "-c", code, *words], check=False, stderr=subprocess.DEVNULL)


def _group(result: Result, threads: int, systems: Sequence[str], turns: int, file: str) -> list[float]:
    """LayerForge's times; those of the peers go to the result."""
    workers: dict[str, Worker] = {}
    try:
        for name in systems:
            workers[name] = Worker(name, result.case, threads, file)
            facts = workers[name].facts
            if "missing" in facts:
                result.missing[name] = facts["missing"]
                workers.pop(name).close()
            else:
                result.facts.setdefault(name, facts)
        if OURS not in workers:
            raise RuntimeError(f"{result.case}: LayerForge did not run: {result.missing[OURS]}")
        return _turns(result, workers, turns)
    finally:
        for worker in workers.values():
            worker.close()


def _turns(result: Result, workers: dict[str, Worker], turns: int) -> list[float]:
    steps = max(1, min(MOST, int(TURN / workers[OURS].run(2))))
    rounds = [{name: worker.run(steps) for name, worker in workers.items()} for _ in range(turns)]
    for name in workers:
        if name != OURS:
            result.ms[name] = statistics.median(each[name] for each in rounds)
            result.ratio[name] = statistics.median(each[name] / each[OURS] for each in rounds)
    return [each[OURS] for each in rounds]


def peak(threads: int) -> dict[str, float]:
    """GFLOP/s of a product and of a convolution that does all its multiplications."""
    done = subprocess.run([sys.executable, str(HERE / "peak.py")], check=True, text=True, capture_output=True,
                          env={**environment(OURS, threads), "LAYERFORGE_WINOGRAD": "0"})
    return json.loads(done.stdout)
