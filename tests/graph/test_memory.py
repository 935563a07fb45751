"""Lifetimes, packing, and nets that run in a packed arena."""

import numpy as np
import pytest
from engines_compare import net_text

from layerforge.core.errors import NetError
from layerforge.core.random import Random
from layerforge.core.storage import HOST, Storage
from layerforge.core.use import Access, Use
from layerforge.graph.memory import Memory, Value, lifetimes, pack, side_by_side
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

R, W, U = Access.READ, Access.WRITE, Access.UPDATE


class Other:
    """A second representation."""

    name, plain = "other", False

    def extent(self, count, dtype):
        return 2 * count, dtype


OTHER = Other()


def spans(timeline, held=()):
    """The lifetimes of a timeline whose steps are lists of (storage, access) or (storage, access, representation)."""
    uses = [[Use(s, rest[0] if rest else HOST, access) for s, access, *rest in step] for step in timeline]
    return [(v.storage, v.representation, v.first, v.last) for v in lifetimes(uses, held)]


def test_a_value_lives_from_its_writer_to_its_last_reader():
    a = Storage(4)
    assert spans([[], [(a, W)], [(a, R)], [], [(a, R)], []]) == [(a, HOST, 1, 4)]


def test_a_storage_written_again_is_a_second_value():
    a = Storage(4)
    assert spans([[(a, W)], [(a, R)], [(a, W)], [(a, R)]]) == [(a, HOST, 0, 1), (a, HOST, 2, 3)]


def test_an_update_keeps_its_place():
    a = Storage(4)
    assert spans([[(a, W)], [(a, U)], [(a, R)]]) == [(a, HOST, 0, 2)]


def test_a_step_that_reads_and_overwrites_works_in_place():
    a = Storage(4)
    assert spans([[(a, W)], [(a, R), (a, W)], [(a, R)]]) == [(a, HOST, 0, 2)]


def test_a_second_representation_is_a_second_value_and_its_source_lives_until_it_is_made():
    a = Storage(4)
    found = spans([[(a, W)], [], [(a, R, OTHER)], [(a, R, OTHER)]])
    assert found == [(a, HOST, 0, 2), (a, OTHER, 2, 3)]


def test_a_representation_that_one_step_reads_and_makes_anew_keeps_its_place():
    a = Storage(4)
    found = spans([[(a, W)], [(a, R), (a, W, OTHER), (a, R)], [(a, R)]])
    assert found == [(a, HOST, 0, 2), (a, OTHER, 1, 1)]


def test_a_conversion_that_may_not_happen_keeps_its_source():
    a = Storage(4)
    found = spans([[(a, W)], [(a, Access.MAY_READ, OTHER)], [(a, R, OTHER)], [(a, R, OTHER)]])
    assert found == [(a, HOST, 0, 2), (a, OTHER, 1, 3)]


def test_what_is_read_before_it_is_written_is_not_placed():
    a, b = Storage(4), Storage(4)
    assert spans([[(a, R), (b, W)], [(a, W), (b, R)]]) == [(b, HOST, 0, 1)]


def test_what_is_held_is_not_placed():
    a = Storage(4)
    assert spans([[(a, W)], [(a, R)]], held={a}) == []


def value(first, last, length):
    return Value(Storage(length), HOST, first, last, length, np.dtype(np.float32))


def test_values_that_never_meet_share_a_place():
    one, two = value(0, 1, 100), value(2, 3, 100)
    assert pack([one, two]) == one.nbytes


def test_values_that_meet_in_one_step_do_not_share_a_place():
    one, two = value(0, 1, 100), value(1, 2, 100)
    assert pack([one, two]) == one.nbytes + two.nbytes


def test_random_values_never_overlap_while_both_live():
    rng = np.random.default_rng(3)
    values = [value(first, first + int(rng.integers(0, 9)), int(rng.integers(1, 300)))
              for first in rng.integers(0, 40, 120).tolist()]
    total = pack(values)
    for i, a in enumerate(values):
        assert a.offset % 64 == 0 and a.offset + a.nbytes <= total
        for b in values[:i]:
            apart = a.last < b.first or b.last < a.first
            assert apart or a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset


def test_a_chain_takes_no_more_than_its_busiest_moment():
    values = [value(i, i + 1, 64) for i in range(10)]
    assert pack(values) == 2 * values[0].nbytes


TEXT = net_text(
    'Convolution conv1 data > conv1 { convolution_param { num_output: 8 kernel_size: 3 '
    'weight_filler { type: "msra" } } }',
    "BatchNorm bn conv1 > conv1 { batch_norm_param { eps: 1e-3 } }",
    "ReLU relu1 conv1 > conv1",
    "Pooling pool conv1 > pool { pooling_param { pool: MAX kernel_size: 2 stride: 2 } }",
    'Convolution a pool > a { convolution_param { num_output: 5 kernel_size: 1 weight_filler { type: "msra" } } }',
    "Sigmoid b pool > b",
    "Concat cat a b > cat",
    "Flatten flat cat > flat",
    'InnerProduct ip flat > ip { inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }',
    'Reduction sum ip > sum { reduction_param { operation: SUMSQ } loss_weight: 1 }',
)
ENGINES = pytest.mark.parametrize("engines", [None, ()], ids=["engine", "layers"])


@pytest.fixture(autouse=True)
def poison(monkeypatch):
    """Whatever is not written reads as NaN."""
    monkeypatch.setattr(Memory, "poison", True)


def net(keep, engines=None, text=TEXT):
    built = build_net(parse_net(text, "net.prototxt"), Phase.TRAIN, rng=Random(1), keep=keep, engines=engines)
    feed(built)
    return built


def feed(built):
    rng = np.random.default_rng(7)
    blob = built.blobs["data"]
    blob.data.set(rng.standard_normal(blob.shape).astype(np.float32))


def gradients(built):
    built.clear_gradients()
    loss = built.forward()
    built.backward()
    return [np.float32(loss), *(each.blob.diff.array(HOST).copy() for each in built.learnable)]


def same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@ENGINES
def test_a_packed_net_gives_the_very_numbers_of_an_unpacked_one(engines):
    packed, plain = net("outputs", engines), net("outputs", engines)
    plain.memory.packs = False
    for _ in range(3):
        same(gradients(packed), gradients(plain))


@ENGINES
def test_packing_saves_memory(engines):
    built = net("outputs", engines)
    built.forward()
    assert built.memory.plan.nbytes < 0.8 * built.memory.plan.loose


def test_reading_a_blob_that_was_not_kept_is_an_error_with_the_cure():
    built = net("outputs")
    gradients(built)
    with pytest.raises(NetError, match="not kept") as error:
        built.blobs["pool"].data.array(HOST)
    assert 'keep="all"' in error.value.hint


def test_outputs_and_inputs_are_kept():
    built, plain = net("outputs"), net("all")
    gradients(built), gradients(plain)
    for name in ("data", "sum"):
        np.testing.assert_allclose(built.blobs[name].data.array(HOST), plain.blobs[name].data.array(HOST), rtol=1e-5)


def test_a_pass_layer_by_layer_keeps_every_blob():
    built, plain = net("outputs", ()), net("all", ())
    gradients(built)
    for one in (built, plain):
        for i in range(len(one.layers)):
            one.forward_from_to(i, i)
    for name in plain.blobs:
        np.testing.assert_array_equal(built.blobs[name].data.array(HOST), plain.blobs[name].data.array(HOST))
    same(gradients(built), gradients(plain))


def test_backward_twice_is_refused_where_values_are_gone():
    built = net("outputs")
    gradients(built)
    with pytest.raises(NetError, match="not kept"):
        built.backward()


def test_forward_twice_then_backward_is_right():
    built, plain = net("outputs"), net("outputs")
    plain.memory.packs = False
    for one in (built, plain):
        one.forward()
    same(gradients(built), gradients(plain))


@ENGINES
def test_new_shapes_are_packed_anew(engines):
    built, plain = net("outputs", engines), net("outputs", engines)
    plain.memory.packs = False
    for shape in ((2, 6, 9, 8), (4, 6, 9, 8), (1, 6, 9, 8), (4, 6, 9, 8)):
        for one in (built, plain):
            one.blobs["data"].reshape(shape)
            one.reshape()
            feed(one)
        same(gradients(built), gradients(plain))
        assert built.memory.plan.nbytes < built.memory.plan.loose


def test_a_hook_sees_every_blob():
    built, seen = net("outputs"), []
    built.hooks["after_forward"].append(
        lambda i: seen.append(np.isfinite(built.blob_list[built.graph.nodes[i].tops[0]].data.array(HOST)).all()))
    built.forward()
    assert len(seen) == len(built.layers) and all(seen)


@ENGINES
def test_an_array_that_a_user_holds_stays_live(engines):
    built, plain = net("outputs", engines), net("all", engines)
    held = built.blobs["pool"].data.lend()
    gradients(built), gradients(plain)
    np.testing.assert_allclose(held, plain.blobs["pool"].data.array(HOST), rtol=1e-4, atol=1e-5)


def test_an_array_of_a_packed_blob_is_refused():
    built = net("outputs")
    built.forward()
    with pytest.raises(NetError, match="not kept"):
        built.blobs["a"].data.lend()


@ENGINES
def test_shapes_that_change_while_a_pass_runs_give_the_arena_up_until_the_next(engines):
    built, plain = net("outputs", engines), net("outputs", engines)
    plain.memory.packs = False
    for shape in ((2, 6, 9, 8), (4, 6, 9, 8), (1, 6, 9, 8)):
        for one in (built, plain):
            one.blobs["data"].reshape(shape)
            feed(one)
        for _ in range(2):
            same(gradients(built), gradients(plain))
    with pytest.raises(NetError, match="not kept"):
        built.blobs["pool"].data.array(HOST)


class Layout(Other):
    """A layout with memory of its own kind."""

    def zeros(self, count, dtype):
        return np.zeros(2 * count, dtype)

    def from_host(self, source, target):
        target[: source.size] = source

    def to_host(self, source, target):
        target[...] = source[: target.size]


def test_layouts_that_lack_memory_get_it_in_one_block():
    layout, some = Layout(), [Storage(5), Storage(100), Storage(3)]
    some[1].set(np.arange(100, dtype=np.float32))
    side_by_side([(each, layout) for each in some])
    arrays = [each.array(layout) for each in some]
    assert arrays[0].base is arrays[1].base is arrays[2].base is not None
    assert all(array.ctypes.data % 64 == 0 for array in arrays)
    assert np.array_equal(arrays[1][:100], np.arange(100)) and not arrays[0].any()


def test_plain_arrays_and_memory_that_is_there_stay_apart():
    layout, plain, held = Layout(), Storage(4), Storage(4)
    before = held.array(layout)
    side_by_side([(plain, HOST), (held, layout)])
    assert held.array(layout) is before and plain.held(HOST) is None


def over(timeline, held=()):
    """The values, and which takes whose place; steps are lists of (storage, access) or (storage, access, over)."""
    uses = [[Use(s, HOST, access, *rest) for s, access, *rest in step] for step in timeline]
    values = lifetimes(uses, held)
    return values, [(v.over.storage, v.storage) for v in values if v.over is not None]


def test_a_value_takes_the_place_of_one_that_ends():
    a, b, c = (Storage(4) for _ in range(3))
    values, found = over([[(a, W)], [(a, R), (b, W, a)], [(b, R), (c, W, b)], [(c, R)]])
    assert found == [(a, b), (b, c)]
    assert pack(values) == 64 and {v.offset for v in values} == {0}


def test_nothing_takes_the_place_of_what_is_read_later():
    a, b = Storage(4), Storage(4)
    assert over([[(a, W)], [(a, R), (b, W, a)], [(a, R), (b, R)]])[1] == []


def test_nothing_takes_the_place_of_what_is_held_or_has_another_size():
    a, b, c = Storage(4), Storage(4), Storage(5)
    assert over([[(a, W)], [(a, R), (b, W, a)], [(b, R)]], held=[a])[1] == []
    assert over([[(a, W)], [(a, R), (c, W, a)], [(c, R)]])[1] == []


def test_what_stands_in_a_place_taken_over_meets_nobody():
    a, b, other = (Storage(4) for _ in range(3))
    values, _ = over([[(a, W)], [(a, R), (b, W, a)], [(b, R), (other, W)], [(b, R), (other, R)]])
    pack(values)
    places = {v.storage: v.offset for v in values}
    assert places[a] == places[b] != places[other]
