"""Whole nets against PyTorch: `python tests/bench/bench_engine.py --threads 2 --nets lenet,vgg16 --modes train,test`.

Each system runs in a process of its own, one at a time, in turns; the ratio is the median of peer ÷ LayerForge over
the turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from nets import NETS  # noqa: E402

SYSTEMS = ("layerforge", "eager", "channels_last")


class Worker:
    """A system that runs steps when asked."""

    def __init__(self, system, net, mode, threads, clock):
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
        env.pop("OPENBLAS_CORETYPE", None)
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "peers.py"), system, net, mode, str(threads), clock],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
        )
        words = self.process.stdout.readline().split()
        self.setup, self.peak = float(words[1]), float(words[2])

    def run(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return [float(word) for word in self.process.stdout.readline().split()]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def compare(net, mode, threads, pairs, clock):
    """Milliseconds and ratios of one net."""
    workers = {system: Worker(system, net, mode, threads, clock) for system in SYSTEMS}
    first = statistics.median(workers["layerforge"].run(3))
    steps = max(1, min(50, int(400 / first)))
    rounds = [
        {system: statistics.median(worker.run(steps)) for system, worker in workers.items()} for _ in range(pairs)
    ]
    row = {system: statistics.median(each[system] for each in rounds) for system in SYSTEMS}
    ratios = {system: statistics.median(each[system] / each["layerforge"] for each in rounds) for system in SYSTEMS[1:]}
    mine = workers["layerforge"]
    print(
        f"{net:14}{mode:6}"
        + "".join(f"{row[s]:10.2f}" for s in SYSTEMS)
        + "".join(f"{ratios[s]:8.2f}" for s in SYSTEMS[1:])
        + f"{mine.setup:8.2f}{mine.peak:8.0f}{workers['eager'].peak:8.0f}",
        flush=True,
    )
    for worker in workers.values():
        worker.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--nets", default=",".join(NETS))
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: the processor's time, for a busy machine and one thread",
    )
    parser.add_argument("--modes", default="train,test")
    args = parser.parse_args()
    heads = ("ours ms", "eager", "ch_last"), ("÷eager", "÷last", "set-up s", "MiB", "eager")
    print(f"{'net':14}{'mode':6}" + "".join(f"{h:>10}" for h in heads[0]) + "".join(f"{h:>8}" for h in heads[1]))
    for net in args.nets.split(","):
        for mode in args.modes.split(","):
            compare(net, mode, args.threads, args.pairs, args.clock)


if __name__ == "__main__":
    main()
