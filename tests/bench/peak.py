"""The arithmetic peak of some threads: `python peak.py THREADS` prints GFLOP/s of a product and of a convolution.

They are measured with the engine's own kernels, as inference: 2048³ multiply-accumulates, and 3 × 3 windows over 256
channels of 8 maps of 28 × 28. The greater is the peak.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path[:1] = [str(Path(__file__).resolve().parents[1])]
from bench.nets import arithmetic  # noqa: E402

from layerforge.core.storage import HOST  # noqa: E402
from layerforge.net.build import build_net  # noqa: E402
from layerforge.schema.read import parse_net  # noqa: E402

TEXTS = {
    "product": """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2048 dim: 2048 } } }
        layer { name: "y" type: "InnerProduct" bottom: "x" top: "y"
                inner_product_param { num_output: 2048 bias_term: false weight_filler { type: "xavier" } } }""",
    "convolution": """layer { name: "x" type: "Input" top: "x"
                input_param { shape { dim: 8 dim: 256 dim: 28 dim: 28 } } }
        layer { name: "y" type: "Convolution" bottom: "x" top: "y"
                convolution_param { num_output: 256 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }""",
}
SECONDS = 0.5


def rate(text: str, seconds: float) -> float:
    """The most GFLOP/s of many runs."""
    net = build_net(parse_net(text), keep="outputs", backward=False)
    net.blobs["x"].data.set(np.random.default_rng(0).standard_normal(net.blobs["x"].shape).astype(np.float32))
    net.blobs["x"].data.array(HOST)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        net.forward()
        best = min(best, time.perf_counter() - start)
    return arithmetic(net) / best / 1e9


def main(seconds: float = SECONDS) -> None:
    print(json.dumps({name: rate(text, seconds) for name, text in TEXTS.items()}))


if __name__ == "__main__":
    main()
