"""The nets with made-up data of Shi et al., Benchmarking state-of-the-art deep learning software tools (2016, 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from layerforge.zoo.recipe import solver
from layerforge.zoo.sketch import Sketch, Top


def made_up(n: Sketch, shape: Sequence[int], batch: int) -> Top:
    """Gaussian numbers, drawn anew for each batch, and the label 0: the net needs no data to be timed."""
    if not n.training:
        return n.input((1, *shape))
    shapes = [{"dim": [batch, *shape]}, {"dim": [batch]}]
    fillers = [{"type": "gaussian"}, {"type": "constant"}]
    param = {"shape": shapes, "data_filler": fillers}
    data, label = n.tops("DummyData", "data", ("data", "label"), dummy_data_param=param)
    n.label = label
    return data


def schedule(prefix: str, **fields: object) -> str:
    """A short run: what the survey measures is time."""
    common: dict[str, object] = {
        "test_iter": [1], "test_interval": 1000000, "test_initialization": False, "base_lr": 0.01, "lr_policy": "fixed",
        "momentum": 0.9, "max_iter": 100, "display": 10, "snapshot_prefix": prefix, "snapshot_after_train": False}
    return solver("For measuring time: 100 iterations at a fixed rate, and no snapshot.", **common | fields)
