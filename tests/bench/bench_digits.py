"""The digits, five times with five seeds: the figure of zoo/digits/README.md and the time of a training."""

import re
import statistics
import time

from layerforge.cli.main import main

SEEDS = (1, 2, 3, 4, 5)  # 1 is the demo's own


def test_median_accuracy_of_five_seeds(tmp_path, capsys):
    accuracies = []
    for seed in SEEDS:
        started = time.perf_counter()
        assert main(["demo", "--out", str(tmp_path), "--seed", str(seed)]) == 0
        accuracies.append(float(re.search(r"test accuracy: ([\d.]+)%", capsys.readouterr().out)[1]))
        with capsys.disabled():
            print(f"\nseed {seed}: {accuracies[-1]} %, {time.perf_counter() - started:.1f} s", end="")
    with capsys.disabled():
        print(f"\nmedian: {statistics.median(accuracies)} %")
    assert statistics.median(accuracies) >= 98.0
