"""Normalisations as cuDNN graphs: what a net gives and learns is what its layers give and learn on their own."""

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from cudnn_cases import BLOCK, DATA, END, PLAIN, conv, norm
from cudnn_nets import compare, feed, make, near, results, taken

from layerforge.core.storage import HOST
from layerforge.engines.cudnn.graphs import Convolution, Norm, NormGradient, NormInference
from layerforge.net.passes import Passes
from layerforge.netdef.types import Phase


@pytest.fixture(autouse=True)
def compiler():
    needs_compiler()


POOL = 'layer { name: "p" type: "Pooling" bottom: "a" top: "p" pooling_param { kernel_size: 2 } }\n'
SEEN = ("data", "ip", "loss")
RUNS = ["bna", "scalea", "relua"]


@pytest.mark.parametrize("keep", ["all", "outputs"])
def test_training_gives_and_learns_the_same(keep):
    net, runner = make(PLAIN, keep=keep, force=True)
    seen = ("data", "ip", "loss") + (("a", "b") if keep == "all" else ())
    compare(results(net, seen), results(make(PLAIN, engine=False, force=True)[0], seen), 2e-4)
    assert taken(net) == [["a", *RUNS], ["b", "bnb", "scaleb"], ["ip"]]
    assert {key.relu for key in runner.ran if isinstance(key, Norm)} == {True, False}


def test_sum_and_relu_join_the_normalisation_where_nothing_between_is_kept():
    net, runner = make(BLOCK, keep="outputs", force=True)
    compare(results(net, SEEN), results(make(BLOCK, engine=False, force=True)[0], SEEN), 2e-4)
    assert taken(net)[-2:] == [["b", "bnb", "scaleb", "sum", "relu"], ["ip"]]
    assert [key for key in runner.ran if isinstance(key, Norm) and key.add and key.relu]
    assert [key for key in runner.ran if isinstance(key, NormGradient) and key.add and key.relu]


def test_sum_stays_apart_where_blobs_are_kept():
    net, _ = make(BLOCK, force=True)
    compare(results(net), results(make(BLOCK, engine=False, force=True)[0]), 2e-4)
    assert ["sum", "relu"] in taken(net)


def test_running_sums_are_those_of_caffe():
    net, plain = (make(PLAIN, engine=engine)[0] for engine in (True, False))
    for _ in range(3):
        results(net), results(plain)
    for mine, theirs in zip(net.params["bna"], plain.params["bna"]):
        np.testing.assert_allclose(mine.data.array(HOST), theirs.data.array(HOST), rtol=1e-4)


@pytest.mark.parametrize("kind, rtol", [("BF16", 0.15), ("FP16", 0.05)])
def test_16_bit_types_stay_near(kind, rtol):
    text = BLOCK.replace("bias_term: true\n", "bias_term: false\n")  # whose gradient a normalisation makes noise
    net, plain = make(text, kind=kind, keep="outputs", force=True)[0], make(text, engine=False, force=True)[0]
    near(results(net, SEEN), results(plain, SEEN), rtol)


def test_normalisation_alone_in_place_has_its_input_put_aside():
    pre = DATA + conv("a", "data") + POOL + norm("p", "p") + END % "p"
    net, _ = make(pre, force=True)
    compare(results(net), results(make(pre, engine=False, force=True)[0]), 2e-4)
    assert ["bnp", "scalep", "relup"] in taken(net)


@pytest.mark.parametrize("keep", ["all", "outputs"])
def test_normalisation_with_a_top_of_its_own(keep):
    text = DATA + conv("a", "data") + norm("a", "a", top="n") + END % "n"
    net, _ = make(text, keep=keep, force=True)
    seen = ("data", "ip", "loss") + (("a", "n") if keep == "all" else ())
    compare(results(net, seen), results(make(text, engine=False, force=True)[0], seen), 2e-4)
    assert (["a", *RUNS] in taken(net)) == (keep == "outputs")


def test_factors_of_the_normalisation_itself():
    layer = """layer { name: "bn" type: "BatchNorm" bottom: "a" top: "a" batch_norm_param { scale_bias: true
      scale_filler { type: "uniform" min: 0.5 max: 2 } bias_filler { type: "uniform" min: -1 max: 1 } } }
    """
    text = DATA + conv("a", "data") + layer + END % "a"
    net, _ = make(text, force=True)
    compare(results(net), results(make(text, engine=False, force=True)[0]), 2e-4)
    assert ["a", "bn"] in taken(net)


def test_statistics_without_factors():
    text = DATA + conv("a", "data") + 'layer { name: "bn" type: "BatchNorm" bottom: "a" top: "a" }\n' + END % "a"
    net, _ = make(text, force=True)
    compare(results(net), results(make(text, engine=False, force=True)[0]), 2e-4)
    assert ["a", "bn"] in taken(net)


def test_channels_that_cudnn_does_not_take_leave_the_convolution_alone():
    text = DATA + conv("a", "data", 6) + norm("a", "a") + END % "a"
    net, _ = make(text)
    compare(results(net), results(make(text, engine=False)[0]), 2e-4)
    assert taken(net) == [["a"], ["ip"]]
    assert any("no engine normalises 6 channels" in r.reason for c in net.plan.choices for r in c.refusals)


@pytest.mark.parametrize("keep", ["all", "outputs"])
@pytest.mark.parametrize("text", [PLAIN, BLOCK], ids=["plain", "block"])
def test_known_statistics_become_factors_behind_the_convolution(text, keep):
    how = {"phase": Phase.TEST, "backward": False}
    net, runner = make(text, keep=keep, **how)
    seen = ("data", "a", "ip", "loss") + (("sum",) if text is BLOCK else ())
    compare(results(net, seen), results(make(text, engine=False, **how)[0], seen), 1e-4)
    assert not [key for key in runner.ran if isinstance(key, (Norm, NormInference))]
    convs = [key for key in runner.ran if isinstance(key, Convolution) and key.factor]
    assert len(convs) == 2 and convs[1].add == convs[1].relu == (text is BLOCK and keep == "outputs")


@pytest.mark.parametrize("add", [False, True])
def test_known_statistics_alone_are_a_graph_of_their_own(add):
    text = DATA + conv("a", "data") + POOL + norm("p", "p", top="n", relu=not add)
    if add:
        text += 'layer { name: "sum" type: "Eltwise" bottom: "p" bottom: "n" top: "sum" }\n'
        text += 'layer { name: "relu" type: "ReLU" bottom: "sum" top: "sum" }\n'
    text += END % ("sum" if add else "n")
    how = {"phase": Phase.TEST, "backward": False, "keep": "outputs"}
    net, runner = make(text, **how)
    seen = ("data", "p", "ip", "loss")
    compare(results(net, seen), results(make(text, engine=False, **how)[0], seen), 1e-4)
    assert [key.add for key in runner.ran if isinstance(key, NormInference)] == [add]


def test_scale_alone_is_known():
    text = DATA + conv("a", "data") + norm("a", "a").split("\n", 2)[2] + END % "a"
    how = {"phase": Phase.TEST, "backward": False}
    net, _ = make(text, **how)
    compare(results(net), results(make(text, engine=False, **how)[0]), 1e-4)
    assert ["a", "scalea", "relua"] in taken(net)


def test_frozen_statistics_under_a_gradient_are_the_layers_own_work():
    text = DATA + conv("a", "data") + norm("a", "a", use_global_stats="true") + END % "a"
    net, _ = make(text)
    compare(results(net), results(make(text, engine=False)[0]), 1e-4)
    assert taken(net)[0] == ["a"]


def test_changed_weights_change_the_factors():
    how = {"phase": Phase.TEST, "backward": False, "records": True}
    net, plain = make(PLAIN, **how)[0], make(PLAIN, engine=False, phase=Phase.TEST, backward=False)[0]
    passes = Passes(net)
    for round in range(5):
        for each in (net, plain):
            for name in ("bna", "scalea", "a"):
                for blob in each.params[name]:
                    blob.data.set(np.full(blob.count, 0.5 + round, np.float32))
        loss = passes.forward()
        assert loss == pytest.approx(plain.forward(), rel=1e-4)
    assert passes.launches >= 1


def test_training_is_recorded():
    net, _ = make(BLOCK, keep="outputs", records=True)
    other, _ = make(BLOCK, engine=False)
    passes = Passes(net)
    for _ in range(5):
        for each in (net, other):
            each.clear_gradients()
        loss = passes.forward_backward()
        assert loss == pytest.approx(other.forward(), rel=1e-4)
        other.backward()
    for mine, theirs in zip(net.learnable, other.learnable):
        for one, two in ((mine.blob.data, theirs.blob.data), (mine.blob.diff, theirs.blob.diff)):
            want = two.array(HOST)
            np.testing.assert_allclose(one.array(HOST), want, rtol=1e-3, atol=1e-4 * max(1e-3, np.abs(want).max()))
    assert passes.launches == 3 and not passes.reasons


def test_cut_pass_runs_by_the_parts_and_keeps_statistics():
    net, plain = make(PLAIN)[0], make(PLAIN, engine=False)[0]
    for each in (net, plain):
        each.forward()
        each.backward_from_to(len(each.layers) - 1, 3)  # the last norm's step is cut above its convolution
    for name in ("bnb", "scaleb"):
        for mine, theirs in zip(net.params[name], plain.params[name]):
            np.testing.assert_allclose(mine.data.array(HOST), theirs.data.array(HOST), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(mine.diff.array(HOST), theirs.diff.array(HOST), rtol=1e-3, atol=1e-5)


def test_shapes_may_change():
    net, plain = make(BLOCK, keep="outputs")[0], make(BLOCK, engine=False)[0]
    for batch in (4, 2, 3):
        x = np.random.default_rng(batch).normal(size=(batch, 3, 6, 5)).astype(np.float32)
        for each in (net, plain):
            feed(each, x)
        compare(results(net, ("ip", "loss")), results(plain, ("ip", "loss")), 5e-4)
