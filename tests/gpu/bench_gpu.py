"""Times training on a GPU beside PyTorch's best: `make bench-gpu`. Prints one line a net and number type."""

import time

import numpy as np
import pytest

from layerforge.backends import get_backend
from layerforge.core.errors import DeviceError
from layerforge.engines.cudnn.engine import CudnnEngine
from layerforge.engines.cudnn.library import shared_runner
from layerforge.net.build import build_net
from layerforge.net.passes import Passes
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net
from layerforge.zoo import __path__ as zoo

NETS = {"lenet": 64, "alexnet": 256, "googlenet": 256, "vgg16": 128, "resnet50": 256}
KINDS = {"lenet": ("FP32",), "resnet50": ("BF16", "FP32")}
WARM, TIMED = 5, 20
LABELS = """
layer { name: "bench_label" type: "Input" top: "bench_label" input_param { shape { dim: %d } } }
layer { name: "bench_loss" type: "SoftmaxWithLoss" bottom: "%s" bottom: "bench_label" top: "bench_loss" }
"""


@pytest.fixture(scope="module")
def device():
    try:
        return get_backend("cupy")
    except DeviceError as error:
        pytest.skip(f"no GPU: {error.message}")


def seconds(run, synchronize):
    """Of one run."""
    for _ in range(WARM):
        run()
    synchronize()
    begin = time.perf_counter()
    for _ in range(TIMED):
        run()
    synchronize()
    return (time.perf_counter() - begin) / TIMED


def training(name, batch, device, kind):
    """One pass forward and backward of a net of the zoo, and the input's shape."""
    with open(f"{zoo[0]}/{name}/deploy.prototxt") as file:
        text = file.read()
    plain = build_net(parse_net(text, name), Phase.TEST, engines=())
    samples, *rest = plain.blobs[plain.inputs[0]].shape
    shape = (batch, *rest)
    scores = plain.graph.nodes[-1].definition.bottoms[0]  # what the Softmax at the end reads
    engines = [CudnnEngine(device, shared_runner(device), kind)]
    definition = parse_net(text + LABELS % (samples, scores), name)
    net = build_net(definition, Phase.TRAIN, backend=device, engines=engines, keep="outputs")
    net.blobs[plain.inputs[0]].reshape(shape)
    net.blobs["bench_label"].reshape((batch,))
    net.reshape()
    net.blobs[plain.inputs[0]].data.set(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    passes = Passes(net)

    def run():
        net.clear_gradients()
        passes.forward_backward()

    return run, passes


def torch_training(name, batch, kind):
    """The same by PyTorch: channels last, autocast, compiled. None where it, or the net, is not there."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed: it has the nets")
    make = getattr(torchvision.models, name, None)
    if make is None or not torch.cuda.is_available():
        return None
    kinds = {"BF16": torch.bfloat16, "FP16": torch.float16}
    net = torch.compile(make(weights=None).cuda().to(memory_format=torch.channels_last), mode="max-autotune")
    x = torch.randn(batch, 3, 224, 224, device="cuda").to(memory_format=torch.channels_last)
    t = torch.zeros(batch, dtype=torch.long, device="cuda")

    def run():
        with torch.autocast("cuda", kinds.get(kind, torch.float32), enabled=kind in kinds):
            y = net(x)
            y = y.logits if hasattr(y, "logits") else y
            loss = torch.nn.functional.cross_entropy(y, t)
        net.zero_grad(set_to_none=True)
        loss.backward()

    return seconds(run, torch.cuda.synchronize)


@pytest.mark.gpu
@pytest.mark.parametrize("name, kind", [(name, kind) for name in NETS for kind in KINDS.get(name, ("BF16",))])
def test_training_is_timed(name, kind, device):
    batch = NETS[name]
    run, passes = training(name, batch, device, kind)
    mine = seconds(run, device.synchronize)
    used = device.xp.get_default_memory_pool().total_bytes()
    line = f"{name:10} {kind}  batch {batch}  {batch / mine:9.0f} images/s  {mine * 1e3:8.2f} ms"
    print(f"\n{line}  {used / 2**30:6.2f} GiB" + ("" if not passes.reasons else f"  not recorded: {passes.reasons[0]}"))
    theirs = torch_training(name, batch, kind)
    if theirs is not None:
        print(f"{'':10} PyTorch {batch / theirs:9.0f} images/s, ratio {theirs / mine:.2f}")
