"""Layer types, rules, policies, fillers and data sources from files of the user's."""

from __future__ import annotations

import importlib.metadata
import sys

import numpy as np
import pytest

import layerforge as caffe
from layerforge.cli.main import main
from layerforge.core import extensions
from layerforge.core.errors import LayerForgeError, NetError, PrototxtError
from layerforge.layers import fillers, registry
from layerforge.plugin import Layer, Params, field, load, register
from layerforge.schema import kinds
from layerforge.solver import policies, rules

SWISH = '''
from layerforge.plugin import Layer, Params, field

class SwishParams(Params):
    beta: float = field(float, 1.0, above=0, doc="how steep the gate is")
    mode: str = field(str, "PLAIN", choices=("PLAIN", "HARD"), doc="which gate")

class Swish2(Layer):
    """y = x · sigmoid(beta · x)"""

    type, Params = "Swish2", SwishParams

    def reshape(self, bottom, top):
        top[0].reshape(bottom[0].shape)

    def forward(self, bottom, top):
        self.gate = 1 / (1 + self.xp.exp(-self.params.beta * bottom[0].data))
        top[0].data[...] = bottom[0].data * self.gate

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            slope = self.gate * (1 + self.params.beta * bottom[0].data * (1 - self.gate))
            bottom[0].diff[...] = top[0].diff * slope
'''
NET = """name: "one"
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "y" type: "Swish2" bottom: "x" top: "y" swish2_param { beta: 0.5 } }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 3 snapshot_after_train: false
snapshot_prefix: "one" """
TRAINED = """
layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param {
    shape { dim: 2 dim: 3 } shape { dim: 2 dim: 4 } data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
        inner_product_param { num_output: 4 weight_filler { type: "FILLER" std: 0.5 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }
"""


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """An empty working folder, and registries that forget what the test registers."""
    monkeypatch.chdir(tmp_path)
    for owner, name in ((registry, "_plugins"), (kinds, "_declared"), (rules, "RULES"), (policies, "POLICIES"),
                        (fillers, "FILLERS")):
        monkeypatch.setattr(owner, name, dict(getattr(owner, name)))
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


def write(folder, **files):
    for name, text in files.items():
        name, _, ending = name.rpartition("_")
        (folder / f"{name}.{ending}").write_text(text)


def make_net(folder, text=NET, phase=caffe.TRAIN):
    write(folder, net_prototxt=text)
    return caffe.Net("net.prototxt", phase)


@pytest.mark.parametrize("name", ["swish.py", "swish"])
def test_a_class_in_a_file_is_a_layer_type(scratch, name):
    write(scratch, swish_py=SWISH)
    load(name)
    net = make_net(scratch)
    x = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)
    y = net.forward(x=x)["y"]
    np.testing.assert_allclose(y, x / (1 + np.exp(-0.5 * x)), rtol=1e-5)
    net.blobs["y"].diff[...] = 1
    s = 1 / (1 + np.exp(-0.5 * x))
    np.testing.assert_allclose(net.backward()["x"], s * (1 + 0.5 * x * (1 - s)), rtol=1e-5)


@pytest.mark.parametrize("fields, message", [
    ("bta: 2", r"net\.prototxt:4: layer 'y' \(Swish2\): swish2_param has no field 'bta'\n  hint: did you mean 'beta'"),
    ("beta: 0", r"net\.prototxt:4: layer 'y' \(Swish2\): beta: 0.*, must be above 0\n  hint: beta is how steep"),
    ("beta: x", r"net\.prototxt:4: .*beta"), ("mode: HRAD", r"net\.prototxt:4: .*mode.*\n  hint: did you mean 'HARD'")])
def test_its_parameters_are_checked_like_ours(scratch, fields, message):
    write(scratch, swish_py=SWISH)
    load("swish.py")
    with pytest.raises(PrototxtError, match=message):
        make_net(scratch, NET.replace("beta: 0.5", fields))


def test_the_command_line_loads_plugins(scratch, capsys):
    write(scratch, swish_py=SWISH, net_prototxt=NET)
    assert main(["time", "--plugins", "swish.py", "--model", "net.prototxt", "--iterations", "1"]) == 0
    assert "Swish2" in capsys.readouterr().out
    assert main(["layers", "Swish2", "--plugins=swish.py"]) == 0
    page = capsys.readouterr().out
    assert all(part in page for part in ("y = x · sigmoid(beta", "Parameters (swish2_param)", "how steep the gate is"))


def test_a_missing_plugin_is_named(scratch, capsys):
    assert main(["layers", "--plugins", "none.py"]) == 1
    assert "plugin 'none.py' is missing" in capsys.readouterr().err


def test_a_solver_names_plugins(scratch):
    write(scratch, swish_py=SWISH, solver_prototxt=SOLVER + 'plugins: "swish.py"', net_prototxt=TRAINED.replace(
        "FILLER", "gaussian").replace('bottom: "ip" bottom: "t"', 'bottom: "s" bottom: "t"').replace(
        'layer { name: "loss"', 'layer { name: "s" type: "Swish2" bottom: "ip" top: "s" }\nlayer { name: "loss"'))
    solver = caffe.get_solver("solver.prototxt")
    solver.step(2)
    solver.net.save("w.caffemodel")
    assert solver.net.layers[2].type == "Swish2"


@pytest.mark.parametrize("given", [dict(beta=0.5, mode="HARD"), dict(swish2_param=dict(beta=0.5, mode="HARD"))])
def test_net_spec_writes_a_plugins_parameters(scratch, given):
    write(scratch, swish_py=SWISH)
    load("swish.py")
    n = caffe.NetSpec()
    n.x = caffe.layers.Input(shape=dict(dim=[2, 3]))
    n.y = caffe.layers.Swish2(n.x, loss_weight=1, **given)
    n.z = caffe.layers.Swish2(n.y, in_place=True)
    made = n.to_proto()
    assert [layer.name for layer in made.layer] == ["x", "y", "z"]
    net = make_net(scratch, str(made))
    params = [layer.params for layer in net._net.layers if layer.type == "Swish2"]
    assert [(p.beta, p.mode) for p in params] == [(0.5, "HARD"), (1.0, "PLAIN")]
    with pytest.raises(AttributeError, match="Swish2 has no parameter 'bta'"):
        caffe.layers.Swish2(n.x, bta=2).to_proto()


class Entry:
    """An entry point that runs a function."""

    dist, value = None, "package.layers"

    def __init__(self, run):
        self.load = run


@pytest.fixture
def entry_point(monkeypatch):
    """Installs one, as if a package had brought it along."""

    def install(run):
        monkeypatch.setattr(importlib.metadata, "entry_points",
                            lambda group: [Entry(run)] if group == "layerforge.layers" else [])
        extensions.load_extensions.cache_clear()

    yield install
    extensions.load_extensions.cache_clear()


def test_an_entry_point_brings_layers(scratch, entry_point):
    write(scratch, swish_py=SWISH)
    entry_point(lambda: load("swish.py"))
    assert "Swish2" in make_net(scratch).layers[1].type  # its parameters stand in the text before its type is looked up
    assert "Swish2" in caffe.layer_type_list()


def test_an_entry_point_brings_rules_policies_and_fillers(scratch, entry_point):
    write(scratch, more_py=RULE, net_prototxt=TRAINED.replace("FILLER", "stairs"),
          solver_prototxt=SOLVER.replace("fixed", "halving") + 'type: "SignSGD"')
    entry_point(lambda: load("more.py"))
    solver = caffe.get_solver("solver.prototxt")
    solver.step(1)
    assert solver.lr == pytest.approx(0.05)


def test_an_entry_point_that_fails_is_named_and_stops_nothing(entry_point, caplog):
    entry_point(lambda: 1 / 0)
    assert "Convolution" in caffe.layer_type_list()
    assert "package.layers" in caplog.text and "ZeroDivisionError" in caplog.text


def test_the_message_is_named_after_the_type_or_as_the_class_says():
    class P(Params):
        a: int = field(int, 1, doc="one")

    class Q(Params, message="quite_other"):
        a: int = field(int, 1, doc="one")

    def layer(name, kind):
        verbs = {"forward": lambda *_: None, "reshape": lambda *_: None}
        return type(name, (Layer,), {"type": name, "Params": kind, **verbs})

    assert layer("MyROILayer2", P).Params.message == "my_roi_layer2_param"
    assert layer("Other", Q).Params.message == "quite_other"
    assert {"my_roi_layer2_param", "quite_other"} <= set(kinds.declared())


@pytest.mark.parametrize("body, message", [
    ('type = "ReLU"', "ReLU_ claims the layer type 'ReLU', which is taken by layerforge.layers.activation"),
    ('type = "Mine"\n    def reshape(self, bottom, top): pass', "defines no forward"),
    ('type, Params = "Mine", dict\n    forward = reshape = print', "is no class of parameters")])
def test_a_class_that_cannot_be_a_layer_is_named_with_its_place(scratch, body, message):
    write(scratch, bad_py=f"from layerforge.plugin import Layer\n\nclass ReLU_(Layer):\n    {body}\n")
    with pytest.raises(NetError, match=message) as caught:
        load("bad.py")
    assert str(caught.value.where) == f"{scratch}/bad.py:3"


def test_a_class_that_derives_from_one_of_ours_is_registered_too(scratch):
    write(scratch, mine_py="from layerforge.layers.activation import ReLU\nclass Mine(ReLU):\n    type = 'Mine'\n")
    load("mine.py")
    net = make_net(scratch, NET.replace("Swish2", "Mine").replace("swish2_param { beta: 0.5 }", ""))
    assert net.forward(x=np.array([[-1, 0, 1], [2, -2, 3]]))["y"].tolist() == [[0, 0, 1], [2, 0, 3]]


def test_a_class_that_is_read_again_replaces_its_former_self():
    made = [type("Again", (Layer,), {"type": "Again", "forward": lambda *_: None, "reshape": lambda *_: None,
                                     "__module__": "notebook"}) for _ in range(2)]
    assert registry.layer_types()["Again"] is made[1]


RULE = """
import numpy as np
from layerforge.plugin import Rule, Policy, register

@register
class SignSGD(Rule):
    name, histories = "SignSGD", 1

    def update(self, ops, w, g, history, step):
        history[0][...] += 1
        w -= step.lr * np.sign(self.regular(w, g, step))

@register
class Halving(Policy):
    name = "halving"

    def rate(self, iteration):
        return self.params.base_lr / 2**iteration

@register
def stairs(p, shape, rng):
    return np.arange(np.prod(shape)).reshape(shape) * p.std
"""


def test_a_plugin_brings_a_rule_a_policy_and_a_filler(scratch):
    write(scratch, more_py=RULE, net_prototxt=TRAINED.replace("FILLER", "stairs"),
          solver_prototxt=SOLVER.replace("fixed", "halving") + 'type: "SignSGD" plugins: "more.py"')
    solver = caffe.get_solver("solver.prototxt")
    w = solver.net.params["ip"][0].data
    np.testing.assert_array_equal(w, np.arange(12).reshape(4, 3) * np.float32(0.5))
    before = w.copy()
    solver.step(1)
    np.testing.assert_allclose(np.abs(w - before), 0.1, rtol=1e-3)
    assert solver.lr == pytest.approx(0.05)


def test_the_gradient_of_a_rule_has_clipping_and_decay_in_it(scratch):
    write(scratch, more_py=RULE)
    load("more.py")
    w, g = np.array([2.0, -4.0, 0.0]), np.array([1.0, 1.0, 1.0])
    rule = rules.RULES["SignSGD"].__new__(rules.RULES["SignSGD"])
    np.testing.assert_allclose(rule.regular(w, g.copy(), rules.Step(1, scale=0.5, l2=0.1)), [0.7, 0.1, 0.5])
    np.testing.assert_allclose(rule.regular(w, g.copy(), rules.Step(1, scale=0.5, l1=0.1)), [0.6, 0.4, 0.5])


def test_a_name_that_is_taken_is_refused():
    def xavier(p, shape, rng):
        return np.zeros(shape)

    with pytest.raises(NetError, match="the filler 'xavier' is taken"):
        register(xavier)
    with pytest.raises(TypeError, match="int is no Layer"):
        register(int)


SOURCE = """
import numpy as np
from layerforge.plugin import Items, Params, SourceLayer, field

class SquaresParams(Params):
    count: int = field(int, 5, at_least=1, doc="how many")
    batch_size: int = field(int, required=True, at_least=1, doc="a batch")
    shuffle: bool = field(bool, False, doc="in a new order in every round")

class Squares(SourceLayer):
    type, Params, tops = "Squares", SquaresParams, 2

    def open(self):
        p = self.params
        def item(i):
            return np.float32(i), np.full(3, i * i, np.float32)
        return Items(p.count, item, p.batch_size, self.rng.stream("order") if p.shuffle else None)
"""
SQUARES = 'layer {{ name: "d" type: "Squares" top: "i" top: "sq" squares_param {{ batch_size: 2 {} }} }}'


def test_a_plugin_brings_a_data_source(scratch):
    write(scratch, squares_py=SOURCE)
    load("squares.py")
    net = make_net(scratch, SQUARES.format(""))
    batches = [(net.forward()["i"].tolist(), net.blobs["sq"].data[:, 2].tolist()) for _ in range(3)]
    assert batches == [([0, 1], [0, 1]), ([2, 3], [4, 9]), ([4, 0], [16, 0])]


def test_a_shuffled_source_gives_every_item_once_a_round(scratch):
    write(scratch, squares_py=SOURCE)
    load("squares.py")
    caffe.set_random_seed(1)
    net = make_net(scratch, SQUARES.format("shuffle: true count: 20"))
    order = [int(i) for _ in range(20) for i in net.forward()["i"]]
    assert sorted(order[:20]) == sorted(order[20:]) == list(range(20)) and order[:20] != order[20:] != list(range(20))


def test_a_source_goes_on_where_it_was(scratch):
    write(scratch, squares_py=SOURCE)
    load("squares.py")
    net = make_net(scratch, SQUARES.format(""))._net
    net.forward()
    state = net.layers[0].state()
    other = make_net(scratch, SQUARES.format(""))._net
    other.layers[0].load_state(state)
    other.forward()
    assert other.blobs["i"].data.array().tolist() == [2, 3]
    with pytest.raises(LayerForgeError, match="5 items, 6 when"):
        other.layers[0].load_state({**state, "of": 6})
