"""Times nets on a GPU beside PyTorch: `make bench-gpu`, or `PYTHONPATH=. python tests/gpu/bench_gpu.py` in a checkout.

Each system runs in a process of its own, one after the other; a line is printed as soon as it is known, and a net that
fails is a line too. What there is no time for is left out, last things first. --write puts the tables into
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path[:1] = [str(Path(__file__).resolve().parents[1])]
import checkout  # noqa: E402
from bench.nets import NETS, TEST, TRAIN  # noqa: E402
from bench.tables import NOTHING, Table, missed, show  # noqa: E402

WORKER = Path(__file__).with_name("worker.py")
PAGE = checkout.ROOT / "docs" / "benchmarks.md"
BEGIN = "<!-- `make bench-gpu ARGS=--write` writes what follows -->"
END = "<!-- and ends here, for the GPU -->"
OURS, GRAPH, COMPILED = "layerforge", "graph", "compiled"
LEAST_SECONDS, MOST_SECONDS = 15, 110  # that a process is worth starting for, and that it may take


class Row(NamedTuple):
    """What is compared: one row of a table."""

    net: str
    mode: str
    batch: int
    kind: str

    def __str__(self) -> str:
        return f"{NETS[self.net].title}, {self.batch}, {self.kind}"


def rows(nets: tuple[str, ...], kinds: tuple[str, ...]) -> list[Row]:
    """All comparisons. Inference in the first type; ResNet-50's in all."""
    training = [Row(net, TRAIN, 64 if net == "lenet" else 256, kind) for kind in kinds for net in nets]
    inference = [Row(net, TEST, 1, kind) for kind in kinds for net in nets]
    return training + [row for row in inference if row.kind == kinds[0] or row.net == "resnet50"]


def schedule(wanted: list[Row]) -> list[tuple[Row, str]]:
    """What is measured, the weightiest first: what there is an aim for, then its training by torch.compile."""
    aimed = [row for row in wanted if str(row) in AIMS]
    first = [(row, system) for row in aimed for system in (OURS, GRAPH)]
    second = [(row, COMPILED) for row in aimed if row.mode == TRAIN]
    rest = [(row, system) for systems in ((OURS, GRAPH), (COMPILED,)) for row in wanted for system in systems]
    return list(dict.fromkeys([*first, *second, *rest]))


BEST, MEMORY = "best ÷", "MiB ÷"
AIMS = {
    str(Row("resnet50", TRAIN, 256, "BF16")): {BEST: 1.2, MEMORY: 0.8},
    str(Row("vgg16", TRAIN, 256, "BF16")): {BEST: 1.05, MEMORY: 0.8},
    str(Row("googlenet", TRAIN, 256, "BF16")): {BEST: 1.5, MEMORY: 0.8},
    str(Row("lenet", TRAIN, 64, "BF16")): {BEST: 3.0},
    **{str(Row(net, TEST, 1, "BF16")): {BEST: 1.5} for net in ("resnet50", "vgg16", "googlenet", "alexnet", "lenet")},
}
"""To be reached at least; of memory at most."""


class Bench:
    """Runs processes while there is time.

    results  (row, system) → what its process answered
    """

    def __init__(self, seconds: float, say: Callable[[str], None] = print, log: Path | None = None) -> None:
        self.end, self.say, self.log = time.monotonic() + seconds, say, log
        self.results: dict[tuple[Row, str], dict[str, Any]] = {}
        self.machine: dict[str, Any] = {}

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def run(self, wanted: list[Row]) -> None:
        """One after the other; nothing without a GPU."""
        self.machine = self.ask("machine")
        self.say(json.dumps(self.machine))
        if "missing" in self.machine:
            return
        for row, system in schedule(wanted):
            self.measure(row, system)

    def measure(self, row: Row, system: str) -> None:
        if self.left < LEAST_SECONDS:
            self.results[row, system] = {"missing": "no time left"}
            return
        found = self.results[row, system] = self.ask(system, row.net, row.mode, str(row.batch), row.kind)
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(json.dumps({"row": str(row), "mode": row.mode, "system": system, **found}) + "\n")
        what = f"{row.mode:6} {row!s:24} {system:11}"
        if "missing" in found:
            self.say(f"{what} {found['missing']}")
        else:
            rate = row.batch / found["ms"] * 1e3
            self.say(f"{what} {rate:10,.0f} images/s {found['ms']:9.3f} ms {found['mib']:8,.0f} MiB "
                     f"(ready in {found['setup']:.0f} s) {found['note']}")

    def ask(self, *arguments: str) -> dict[str, Any]:
        """What the worker answers; why it does not."""
        limit = max(1.0, min(self.left, MOST_SECONDS))
        process = subprocess.Popen([sys.executable, str(WORKER), *arguments], stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, error = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with what it started: a compiler's processes
            process.communicate()
            return {"missing": f"took more than {limit:.0f} s"}
        lines = out.strip().splitlines()
        try:
            found: dict[str, Any] = json.loads(lines[-1])
        except (IndexError, ValueError):
            found = {"missing": f"ended with {process.returncode}"}
        if "missing" in found and error.strip():
            self.say("\n".join(error.strip().splitlines()[-6:]))
        return found


HEADS = ("net, batch, type", "LayerForge images/s", "ms", "MiB", "of the bandwidth", "PyTorch graph ms", "compiled ms",
         "PyTorch MiB", BEST, MEMORY)


def table(bench: Bench, wanted: list[Row]) -> Table:
    """A row for each comparison that has a figure."""
    made, notes = Table(HEADS), []
    for row in wanted:
        ours, *peers = (bench.results.get((row, system), {}) for system in (OURS, GRAPH, COMPILED))
        peers_ms = [peer.get("ms") for peer in peers]
        best = min((ms for ms in peers_ms if ms), default=None)
        memory = next((peer["mib"] for peer in peers if peer.get("ms") == best), None) if best else None
        mine = ours.get("ms")
        if not (mine or best):
            continue
        speed = bench.machine.get("bandwidth")
        share = f"{ours['moved'] / speed / mine * 1e5:.0f}%" if mine and speed and ours.get("moved") else NOTHING
        made.rows[str(row)] = (
            show(row.batch / mine * 1e3 if mine else None, 0), show(mine, 3), show(ours.get("mib"), 0), share,
            *(show(ms, 3) for ms in peers_ms), show(memory, 0), show(best / mine if best and mine else None),
            show(ours["mib"] / memory if mine and memory else None),
        )
        if ours.get("note"):
            notes.append(f"{row}: {ours['note']}.")
    missing: dict[str, list[str]] = {}
    for (row, system), found in bench.results.items():
        if row in wanted and "missing" in found:
            missing.setdefault(found["missing"], []).append(f"{row} ({system})")
    made.notes = notes + [f"Not measured, {why}: {', '.join(names)}." for why, names in missing.items()]
    return made


def page(text: str, bench: Bench, wanted: list[Row]) -> str:
    """The page with the tables of this run in the place of what stood between the marks.

    Raises ValueError for a page without marks.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    about = bench.machine
    parts = [f"{about.get('name', 'unknown')}; a copy moves {about.get('bandwidth', 0) / 1e12:.2f} TB/s."]
    for mode, title in ((TRAIN, "training"), (TEST, "inference")):
        part = [row for row in wanted if row.mode == mode]
        made = table(bench, part)
        aims = missed(made, {row: AIMS[row] for row in made.rows if row in AIMS})
        parts += [f"### GPU, {title}", str(made)]
        parts += ["Aims that are missed: " + ("; ".join(aims) if aims else "none of those that were measured") + "."]
    return f"{head}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{tail}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", default="resnet50,vgg16,googlenet,lenet,alexnet")
    parser.add_argument("--kinds", default="BF16,FP32")
    parser.add_argument("--seconds", type=float, default=460, help="for all of it")
    parser.add_argument("--log", type=Path, help="a file for the results, a line of JSON each, as they come")
    parser.add_argument("--write", action="store_true", help="puts the tables into docs/benchmarks.md")
    args = parser.parse_args(arguments)
    wanted = rows(tuple(args.nets.split(",")), tuple(args.kinds.split(",")))
    bench = Bench(args.seconds, lambda line: print(line, flush=True), args.log)
    try:
        bench.run(wanted)
    except KeyboardInterrupt:
        print("interrupted: what there is follows")
    for mode in (TRAIN, TEST):
        print(f"\n{mode}\n{table(bench, [row for row in wanted if row.mode == mode])}")
    if "missing" in bench.machine:
        print(f"there is no GPU to use: {bench.machine['missing']}")
        return 1
    if args.write:
        PAGE.write_text(page(PAGE.read_text("utf-8"), bench, wanted), "utf-8")
    return 0 if any("ms" in found for (_, system), found in bench.results.items() if system == OURS) else 1


if __name__ == "__main__":
    sys.exit(main())
