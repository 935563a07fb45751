"""What cuDNN gives for the nets that its stand-in has given elsewhere: `make gpu` runs it."""

import pytest
from cudnn_cases import BLOCK, CASES, NET, PLAIN
from cudnn_nets import compare, made, near, results, taken
from gpu.conftest import WHY
from gpu.gpu import few

from layerforge.backends import get_backend
from layerforge.core.errors import DeviceError
from layerforge.engines import VARIABLE, default_engines
from layerforge.netdef.types import Phase

pytestmark = pytest.mark.gpu

NETS = {"normalised": PLAIN, "residual": BLOCK, **{name: NET % text for name, text in CASES.items()}}
ENDS = ("data", "ip", "loss")
NEAR = {"TF32": 0.02, "BF16": 0.2, "FP16": 0.06}
SOME = list(NETS)[:: few(1, 6)] if not WHY else ["residual"]  # one skip says why


def on_cudnn(device, name, kind, keep, monkeypatch, **how):
    monkeypatch.setenv(VARIABLE, f"CUDNN:{kind}")
    try:
        engines = default_engines(device, keep)
    except DeviceError as error:
        pytest.skip(f"cuDNN cannot be used: {error.message}")
    return made(NETS[name], device, engines, keep=keep, **how)


@pytest.mark.parametrize("keep", ["all", "outputs"] if not WHY else ["all"])
@pytest.mark.parametrize("name", SOME)
def test_float32_gives_and_learns_what_numpy_does(device, name, keep, monkeypatch):
    net = on_cudnn(device, name, "FP32", keep, monkeypatch)
    compare(results(net, ENDS), results(made(NETS[name], get_backend(), []), ENDS), 1e-3)
    assert taken(net) and not [step.refusal for step in net.steps if step.engine == "CUDNN" and step.refusal]


@pytest.mark.parametrize("kind", NEAR if not WHY else ["BF16"])
@pytest.mark.parametrize("name", SOME)
def test_narrow_types_stay_near(device, name, kind, monkeypatch):
    net = on_cudnn(device, name, kind, "outputs", monkeypatch)
    plain = results(made(NETS[name], get_backend(), []), ENDS)
    noise = {key for key in plain if key == "d a.1" and name in ("normalised", "residual")}  # 0 but for rounding
    one = results(net, ENDS)
    near({k: one[k] for k in plain.keys() - noise}, {k: plain[k] for k in plain.keys() - noise}, NEAR[kind])


@pytest.mark.parametrize("name", SOME)
def test_inference_gives_what_numpy_does(device, name, monkeypatch):
    how = {"phase": Phase.TEST, "backward": False}
    net = on_cudnn(device, name, "FP32", "outputs", monkeypatch, **how)
    compare(results(net, ENDS), results(made(NETS[name], get_backend(), [], **how), ENDS), 1e-3)
