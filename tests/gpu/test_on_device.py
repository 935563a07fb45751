"""What only a GPU can tell. `make gpu` runs it; elsewhere one skip says why it does not run."""

import functools

import numpy as np
import pytest
from gpu.conftest import engines_of, one_skip
from gpu.gpu import STANDS_IN, few, used_bytes
from layer_tests import layer_tests
from lenet import lenet
from picture_device import compressed, picture
from tiny_solver import NET, parameters, solver_text

import layerforge as caffe
from layerforge.backends import get_backend
from layerforge.backends.cupy.layout import KINDS, ChannelsLast, form_of
from layerforge.cli.main import main
from layerforge.core.errors import OutOfMemory
from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.data.images import decode
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net, parse_solver
from layerforge.solver.loop import Solver
from layerforge.testing.gradient import check_gradient

pytestmark = pytest.mark.gpu

TYPES = ["", "FP32", "TF32", "BF16", "FP16"][:: few(1, 3)]  # "": the kernels of the backend, the others by cuDNN


LENET = lenet(64, 'type: "constant" value: 3', 'layer { name: "drop1" type: "Dropout" bottom: "ip1" top: "ip1" }')
SMALLER = {"dim: 64 ": "dim: 2 ", "dim: 28": "dim: 16", "num_output: 20": "num_output: 3",
           "num_output: 500": "num_output: 6", "num_output: 50 ": "num_output: 4 "}
for large, small in SMALLER.items() if STANDS_IN else ():
    LENET = LENET.replace(large, small)


def solver(backend, net=LENET, records=True, engines=(), **changed):
    made = Solver(parse_solver(solver_text(net=net, base_lr=0.01, **changed), "solver.prototxt"), backend=backend,
                  engines=engines)
    if not records:
        made.iterations = None
        for each in (made.passes._both, made.passes._forward, made.updater.moving):
            each.reason = "switched off"
    return made


@pytest.mark.parametrize("kind", TYPES)
def test_replay_equals_running_step_by_step_bit_for_bit(device, kind, monkeypatch):
    recorded, stepwise = (
        solver(device, records=records, engines=engines_of(device, kind, monkeypatch)) for records in (True, False)
    )
    for each in (recorded, stepwise):
        each.step(few(50, 5))
    assert not recorded.iterations.reason and recorded.iterations.launches >= few(47, 2)
    for mine, theirs in zip(parameters(recorded), parameters(stepwise), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def curve(backend, engines=None):
    """The losses of LeNet's first iterations."""
    each, losses = solver(backend, engines=engines), []
    for _ in range(few(500, 4)):
        each.step(1)
        losses.append(each.losses[-1])
    return np.array(losses)


@functools.cache
def curve_of_the_cpu():
    return curve(get_backend())


@pytest.mark.parametrize("kind", TYPES)
def test_lenet_follows_the_curve_of_the_cpu(device, kind, monkeypatch):
    cpu, gpu = curve_of_the_cpu(), curve(device, engines_of(device, kind, monkeypatch))
    tolerance = 1e-2 if kind in ("", "FP32") else 1e-1
    assert abs(cpu[:20] - gpu[:20]).max() <= tolerance * cpu[0]
    assert np.isfinite(gpu).all() and gpu[-50:].mean() <= 1.2 * cpu[-50:].mean() + 0.01


@pytest.mark.parametrize("kind", ["", "BF16"])
def test_two_thousand_iterations_take_no_more_memory(device, kind, monkeypatch):
    each = solver(device, net=NET, engines=engines_of(device, kind, monkeypatch))
    each.step(few(100, 4))
    before = used_bytes(device, live=True)
    each.step(few(2000, 4))
    assert used_bytes(device, live=True) - before <= 8 << 20


def test_nets_give_their_memory_back(device):
    def run():
        each = solver(device)
        each.step(4)
        each.close()

    run()
    before = used_bytes(device, live=True)
    for _ in range(few(20, 2)):
        run()
    assert used_bytes(device, live=True) - before <= 64 << 20


def test_full_memory_is_said_with_the_batch_that_fits(device):
    text = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2000 dim: 1 } } }
        layer { name: "s0" type: "Tile" bottom: "data" top: "s0" tile_param { tiles: 1000000 } }"""
    text += "".join(f'layer {{ name: "s{i}" type: "Sigmoid" bottom: "s{i - 1}" top: "s{i}" }}' for i in range(1, 40))
    with pytest.raises(OutOfMemory, match="With 2000 samples a batch the net needs") as caught:
        build_net(parse_net(text), Phase.TEST, backend=device, engines=()).forward()
    hint = caught.value.hint
    del caught
    used_bytes(device, live=True)  # gives the memory back
    assert "would fit" in hint


GRADIENTS = {name: test for name, test in layer_tests().items() if test.gradient}


@pytest.mark.parametrize("name", one_skip(list(GRADIENTS)[:: few(1, 30)], list(GRADIENTS)[:: few(1, 30)]))
def test_gradient_agrees_with_differences_on_the_device(device, name):
    test = GRADIENTS[name]()
    case = test.cases[0]
    inputs = test._inputs(case)
    for x in inputs:
        for kink in test.kinks:
            x += np.where(np.abs(x - kink) < 0.01, 0.05, 0)
    check_gradient(test.layer, case, inputs, phase=test.phase, tops=test.tops, tolerance=test.gradient_tolerance,
                   check_bottoms=test.check_bottoms, backend=device, points=8)


@pytest.mark.parametrize("shape, padded", [((2, 3, 5, 7), 4), ((3, 33, 1, 1), 40), ((1, 40, 6, 6), 40)])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_layouts_keep_values(device, shape, padded, kind):
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    form = form_of(shape, kind, padded)
    layout = ChannelsLast(form, device.representation, device.ops.kernels)
    packed = layout.zeros(form.count, np.float32)
    plain, back = (device.representation.zeros(x.size, np.dtype(np.float32)) for _ in range(2))
    device.representation.from_host(x.reshape(-1), plain)
    layout.pack(plain, packed)
    layout.unpack(packed, back)
    found = np.empty(x.size, np.float32)
    device.representation.to_host(back, found)
    rtol = {"FP32": 0, "BF16": 2**-8, "FP16": 2**-10}[kind]
    np.testing.assert_allclose(found.reshape(shape), x, rtol=rtol, atol=1e-6)


IMAGES = """layer { name: "data" type: "ImageData" top: "data" top: "label" transform_param { %s }
  image_data_param { source: "list.txt" batch_size: 8 } }"""


def test_pictures_decoded_by_the_device_are_those_of_the_cpu_but_for_rounding(device, tmp_path, monkeypatch):
    pictures = getattr(device, "pictures", None)
    if not STANDS_IN and pictures.why_not():
        pytest.skip(f"pictures cannot be decoded on the GPU: {pictures.why_not()}")
    if STANDS_IN:
        from picture_device import picture_device

        device = picture_device()
    monkeypatch.chdir(tmp_path)
    for i in range(8):
        (tmp_path / f"{i}.jpg").write_bytes(compressed(picture(180 + i, 240, i)))
    (tmp_path / "list.txt").write_text("".join(f"{i}.jpg {i}\n" for i in range(8)))
    text, found = IMAGES % "crop_size: 160 mirror: true", []
    for backend in (device, None):
        net = build_net(parse_net(text), Phase.TRAIN, backend=backend, rng=Random(2))
        net.forward()
        found.append(net.blobs["data"].data.array(HOST).copy())
        assert backend is None or net.layers[0].source.decoding is not None
        net.close()
    difference = abs(found[0] - found[1])
    print(f"levels apart: {difference.mean():.3f} on average, {difference.max():.0f} at most")
    assert difference.mean() <= 1 and difference.max() <= 16
    assert decode((tmp_path / "0.jpg").read_bytes(), True, "0").shape == (180, 240, 3)


def test_facade_runs_on_the_device(by_name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.set_mode_gpu()
    try:
        net = caffe.Net("net.prototxt", caffe.TRAIN)
        net.forward()
        net.backward()
    finally:
        caffe.set_mode_cpu()
    assert np.isfinite(net.blobs["loss"].data).all()
    assert net.params["ip"][0].diff.shape == (3, 6) and HOST is not by_name.representation


def test_command_line_runs_on_the_device(by_name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(solver_text(fields="solver_mode: GPU display: 1"))
    assert main(["device_query", "--gpu", "0"]) == 0
    assert "GPU 0" in capsys.readouterr().out
    assert main(["train", "--solver", "solver.prototxt"]) == 0
    assert main(["time", "--model", "net.prototxt", "--gpu", "0", "--iterations", "2"]) == 0
    assert (tmp_path / "tiny_iter_6.caffemodel").exists()
