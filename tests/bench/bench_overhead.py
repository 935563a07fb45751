"""What Python costs a step, and how long nets take to set up."""

import time

import numpy as np
import pytest
from bench.nets import NETS, TRAIN, cases, definition
from threadpoolctl import threadpool_limits

from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

STEPS = 200
RELUS = "\n".join(f'layer {{ name: "r{i}" type: "ReLU" bottom: "r{i - 1}" top: "r{i}" }}' for i in range(1, STEPS + 1))
TEXT = f"""force_backward: true
layer {{ name: "r0" type: "Input" top: "r0" input_param {{ shape {{ dim: 1 dim: 16 dim: 1 dim: 1 }} }} }}
{RELUS}"""


def microseconds(run):
    """Of the fastest of many calls, per step."""
    best = float("inf")
    for _ in range(100):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best / STEPS * 1e6


@pytest.mark.parametrize("keep", ["all", "outputs"])
def test_a_step_beside_its_kernel(keep):
    """Steps of 200 ReLUs that do not work in place, less the same kernels in a bare loop."""
    net = build_net(parse_net(TEXT), Phase.TRAIN, keep=keep)
    net.blobs[f"r{STEPS}"].diff.set(np.ones((1, 16, 1, 1), np.float32))
    steps = [step for step in net.steps if step.engine == "ONEDNN"]
    if not steps:
        pytest.skip("no engine runs here, so there are no kernels to compare with")
    with threadpool_limits(1):
        net.forward(), net.backward()
        passes = [("forward", net.forward, [step.work.forwards for step in steps])]
        if keep == "all":  # otherwise what backward reads is gone after it
            passes.append(("backward", net.backward, [step.work.backwards for step in steps]))
        for name, run, works in passes:
            kernels = [primitive for work in works for each in work for primitive in each.primitives()]

            def bare(kernels=kernels):
                for kernel in kernels:
                    kernel.execute()

            whole, alone = microseconds(run), microseconds(bare)
            print(f"\nkeep={keep:8} {name:9}{whole - alone:6.2f} µs a step, {alone:.2f} of the kernel", end="")


def test_a_pass_that_repeats():
    """The same steps where nothing runs backward: run the ordinary way, and as kernels alone."""
    net = build_net(parse_net(TEXT), Phase.TEST, keep="outputs", backward=False)
    with threadpool_limits(1):
        for _ in range(3):
            net.forward()
        if not net.replay.passes:
            pytest.skip("no engine runs here, so no pass repeats")
        repeated, net.replay.run = microseconds(net.forward), lambda: False
        print(f"\n{repeated:6.2f} µs a step where passes repeat, {microseconds(net.forward):.2f} where not", end="")


@pytest.mark.parametrize("name", NETS)
def test_set_up_until_the_first_pass(name):
    case = cases(TRAIN, (name,))[0]
    start = time.perf_counter()
    text = definition(case)
    read = time.perf_counter()
    net = build_net(text, Phase.TRAIN, keep="outputs")
    built = time.perf_counter()
    net.forward(), net.backward()
    done = time.perf_counter()
    print(f"\n{case!s:20} text {read - start:6.3f} s   plan {built - read:6.3f} s   "
          f"first pass {done - built:6.3f} s", end="")
