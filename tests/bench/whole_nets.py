"""Whole nets beside PyTorch, ONNX Runtime and OpenVINO: `python tests/bench/whole_nets.py --threads 1,2`.

Each system runs in a process of its own, one at a time, in turns; a ratio is the median over the turns of the peer's
time ÷ LayerForge's. Compares with the tables of docs/benchmarks.md, and with --write puts its own there.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:1] = [str(HERE.parent)]
from bench.nets import AIMS, MODES, NETS, TRAIN, Case, cases  # noqa: E402
from bench.systems import BF16, OURS, SYSTEMS, TORCH, TUNED_TORCH  # noqa: E402
from bench.tables import NOTHING, Table, Tables, between, joined, missed, parse, show, worse, written  # noqa: E402
from bench.turns import Result, measure, peak  # noqa: E402

from layerforge.cli import machine  # noqa: E402

PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
NAMES = {TRAIN: "training", "test": "inference"}
PEERS = ("onnxruntime", "openvino")
VERSIONS = ("torch", "onnxruntime", "openvino")


ALONE = "GFLOP/s alone, in the last run:"


def speed_heads(mode: str) -> tuple[str, ...]:
    """Of the table of times and ratios."""
    shown = [SYSTEMS[name].title for name in (*TORCH, *(PEERS if mode != TRAIN else ()))]
    others = [f"{SYSTEMS[name].title} ÷" for name in PEERS] if mode != TRAIN else []
    return ("net, batch", "LayerForge ms", *shown, "best tuned", "eager ÷", "best ÷", "best tuned ÷", *others)


def speed_cells(result: Result) -> tuple[str, ...]:
    """Times of both sides, and their ratios."""
    mode = result.case.mode
    best, tuned = result.best(TORCH), result.best(TUNED_TORCH)
    others = PEERS if mode != TRAIN else ()
    times = [result.ms.get(name) for name in (OURS, *TORCH, *others, tuned)]
    return tuple(map(show, [*times, *(result.ratio.get(name) for name in ("eager", best, tuned, *others))]))


COST_HEADS = ("net, batch", "GFLOP", "GFLOP/s", "of the peak", "BF16 ms", "BF16 ÷", "set-up s", "eager set-up s", "MiB",
              "eager MiB", "MiB ÷")


def cost_cells(result: Result, greatest: float) -> tuple[str, ...]:
    """Arithmetic, BF16, set-up and memory."""
    mine, eager, bf16 = (result.facts.get(name, {}) for name in (OURS, "eager", BF16))
    ms, flops = result.ms[OURS], mine["flops"]
    speed = flops / ms / 1e6
    times = (result.ms.get(BF16), 1 / result.ratio[BF16] if bf16 else None)
    part = mine["peak"] / eager["peak"] if eager else None
    return (show(flops / 1e9), show(speed, 0), f"{speed / greatest:.0%}", *map(show, times),
            *(show(each.get("setup")) for each in (mine, eager)),
            *(show(each.get("peak"), 0) for each in (mine, eager)), show(part))


def heading(threads: int, mode: str, what: str) -> str:
    return f"{threads} thread{'s' * (threads > 1)}, {NAMES[mode]}: {what}"


def notes(results: Sequence[Result], rates: dict[str, float]) -> list[str]:
    """The peak; what is missing and why."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for name, reason in result.missing.items():
            reasons.setdefault((SYSTEMS[name].title, reason), []).append(str(result.case))
    lines = [f"Not measured: {title} of {'; '.join(rows)}: {reason}." for (title, reason), rows in reasons.items()]
    measured = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
    return [f"{ALONE} {measured}.", *lines]


def about() -> str:
    """Machine and versions."""
    cores, why = machine.usable_cores()
    versions = [f"{name} {version}" for name, version in machine.versions()]
    for name in VERSIONS:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {name}")
    system = f"{platform.system()}, {' '.join(platform.libc_ver())}"
    return f"{machine.cpu_model()}; {cores} cores ({why}); {system}. {', '.join(versions)}."


def run(chosen: Sequence[Case], threads: int, systems: Sequence[str], turns: int) -> Tables:
    """The tables of these cases; a line is printed as soon as a case is done."""
    rates, tables = peak(threads), {}
    for mode in MODES:
        results = []
        for case in (case for case in chosen if case.mode == mode):
            result = measure(case, threads, systems, turns)
            results.append(result)
            pairs = zip(speed_heads(mode)[1:], speed_cells(result))
            print(f"{threads} threads, {NAMES[mode]}, {case}: "
                  + ", ".join(f"{head} {cell}" for head, cell in pairs if cell != NOTHING), flush=True)
        if results:
            times = {str(result.case): speed_cells(result) for result in results}
            costs = {str(result.case): cost_cells(result, max(rates.values())) for result in results}
            tables[heading(threads, mode, "milliseconds of a step")] = Table(speed_heads(mode), times)
            said = notes(results, rates)
            tables[heading(threads, mode, "arithmetic, set-up, memory")] = Table(COST_HEADS, costs, said)
    return tables


def unreached(tables: Tables) -> list[str]:
    """The aims that these tables miss."""
    found = []
    for name, table in tables.items():
        mode = next((mode for mode in MODES if NAMES[mode] in name), TRAIN)
        aims = {str(case): aim for case, aim in AIMS.items() if case.mode == mode}
        found += [f"{name.partition(':')[0]}: {line}" for line in missed(table, aims)]
    return found


def in_order(tables: Tables) -> Tables:
    """By threads, training first; of the peaks the newest."""
    def place(heading: str) -> tuple[int, int]:
        threads, _, rest = heading.partition(" ")
        return int(threads), next(k for k, mode in enumerate(MODES) if NAMES[mode] in rest)

    for table in tables.values():
        alone = [note for note in table.notes if note.startswith(ALONE)][:1]
        table.notes = [*alone, *(note for note in table.notes if not note.startswith(ALONE))]
    return {heading: tables[heading] for heading in sorted(tables, key=place)}


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def among(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Reads names with commas between, of these."""
    known = list(known)

    def names(text: str) -> list[str]:
        found = text.split(",")
        wrong = [name for name in found if name not in known]
        if wrong:
            raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: not among {', '.join(known)}")
        return found

    return names


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=numbers, default=[2], help="one run for each number: 1,2")
    parser.add_argument("--turns", type=int, default=5, help="of each system; fresh processes for set-up")
    parser.add_argument("--nets", type=among(NETS), default=list(NETS), help="names of the zoo")
    parser.add_argument("--batch", type=int, help="only the rows of this batch")
    parser.add_argument("--modes", type=among(MODES), default=list(MODES), help="with commas between")
    parser.add_argument("--systems", type=among(SYSTEMS), default=list(SYSTEMS), help="with commas between")
    parser.add_argument("--page", type=Path, default=PAGE, help="whose tables are compared with")
    parser.add_argument("--write", action="store_true", help="puts the new rows into the page")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    nets = tuple(args.nets)
    chosen = [case for mode in args.modes for case in cases(mode, nets) if args.batch in (None, case.batch)]
    print(about(), flush=True)
    text = args.page.read_text(encoding="utf-8")
    old, new = parse(text), {}
    for threads in args.threads:
        new.update(run(chosen, threads, args.systems, args.turns))
    for title, table in new.items():
        print(f"\n{title}\n\n{table}")
    recorded = next((line for line in between(text).splitlines() if line), "nothing")
    if old and recorded != about():
        print(f"\nrecorded with: {recorded}")
    print("\nworse by more than a tenth than docs/benchmarks.md says:", *(worse(old, new) or ["nothing"]), sep="\n  ")
    print("\naims that are missed:", *(unreached(new) or ["none"]), sep="\n  ")
    if args.write:
        order = list(dict.fromkeys(str(case) for mode in MODES for case in cases(mode)))
        whole = in_order(joined(old, new, order))
        misses = "\n".join(f"- {line}" for line in unreached(whole)) or "None."
        args.page.write_text(written(text, whole, f"{about()}\n\nAims that are missed:\n\n{misses}"), encoding="utf-8")


if __name__ == "__main__":
    main()
