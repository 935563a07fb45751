"""filter, check and splits on definitions made in code."""

import pytest

from layerforge.core.errors import NetError
from layerforge.netdef.check import check
from layerforge.netdef.filter import filter_net
from layerforge.netdef.splits import insert_splits
from layerforge.netdef.types import LayerDef, NetDef, NetState, Phase, StateRule, Where


def layer(name, bottoms="", tops="", line=1, **more):
    return LayerDef(name, "ReLU", tuple(bottoms.split()), tuple(tops.split()), where=Where("n.prototxt", line), **more)


def names(definition):
    return [each.name for each in definition.layers]


def test_layers_without_rules_stay():
    assert names(filter_net(NetDef(layers=(layer("a"),)), NetState())) == ["a"]


@pytest.mark.parametrize(
    ("state", "want"),
    [
        (NetState(Phase.TRAIN), ["train", "notest"]),
        (NetState(Phase.TEST), ["test"]),
        (NetState(Phase.TEST, 2), ["test", "high"]),
        (NetState(Phase.TEST, 0, ("deploy",)), ["test", "deploy"]),
        (NetState(Phase.TEST, 0, ("deploy", "extra")), ["test", "deploy", "both"]),
    ],
)
def test_rules_choose_by_phase_level_and_stage(state, want):
    definition = NetDef(
        layers=(
            layer("train", include=(StateRule(Phase.TRAIN),)),
            layer("test", include=(StateRule(Phase.TEST),)),
            layer("notest", exclude=(StateRule(Phase.TEST),)),
            layer("high", include=(StateRule(min_level=2),)),
            layer("deploy", include=(StateRule(stages=("deploy",)),)),
            layer("both", include=(StateRule(stages=("deploy", "extra")),)),
        )
    )
    assert names(filter_net(definition, state)) == want


def test_include_and_exclude_together_are_refused():
    both = layer("a", include=(StateRule(Phase.TRAIN),), exclude=(StateRule(Phase.TEST),), line=4)
    with pytest.raises(NetError, match=r"n\.prototxt:4: layer 'a' \(ReLU\): has include and exclude"):
        filter_net(NetDef(layers=(both,)), NetState())


def test_an_unknown_bottom_suggests_the_nearest_blob():
    with pytest.raises(NetError, match="did you mean 'conv1'"):
        check(NetDef(layers=(layer("a", "", "conv1"), layer("b", "cnov1", "y"))))


def test_a_bottom_made_later_names_the_later_layer():
    with pytest.raises(NetError, match=r"made only later, by layer 'b' \(ReLU\) \(n.prototxt:9\)"):
        check(NetDef(layers=(layer("a", "y", "x"), layer("b", "x", "y", line=9))))


def test_a_layer_that_reads_its_own_top_is_refused():
    with pytest.raises(NetError, match="is its own top"):
        check(NetDef(layers=(layer("a", "y", "y"),)))


def test_two_sources_of_a_blob_are_refused():
    with pytest.raises(NetError, match="top 'x' is made by layer 'a'"):
        check(NetDef(layers=(layer("a", "", "x"), layer("b", "", "x"))))


def test_an_in_place_layer_is_no_second_source():
    check(NetDef(layers=(layer("a", "", "x"), layer("b", "x", "x"))))


def test_a_net_without_layers_is_refused():
    with pytest.raises(NetError, match="net 'empty' has no layers in the TEST phase") as error:
        check(NetDef(name="empty", state=NetState(Phase.TEST)))
    assert "include and exclude" in error.value.hint


def test_propagate_down_needs_one_value_per_bottom():
    with pytest.raises(NetError, match="1 values of propagate_down for 2 bottoms"):
        check(NetDef(layers=(layer("d", "", "x y"), layer("a", "x y", "z", propagate_down=(True,)))))


def test_a_blob_with_two_readers_gets_a_split_with_caffes_names():
    split = insert_splits(NetDef(layers=(layer("data", "", "x"), layer("a", "x", "p"), layer("b", "x", "q"))))
    assert names(split) == ["data", "x_data_0_split", "a", "b"]
    assert split.layers[1].tops == ("x_data_0_split_0", "x_data_0_split_1")
    assert [each.bottoms for each in split.layers[2:]] == [("x_data_0_split_0",), ("x_data_0_split_1",)]


def test_a_split_follows_the_last_in_place_layer():
    split = insert_splits(
        NetDef(layers=(layer("data", "", "x"), layer("r", "x", "x"), layer("a", "x", "p"), layer("b", "x", "q")))
    )
    assert names(split) == ["data", "r", "x_r_0_split", "a", "b"]


def test_a_loss_weight_counts_as_a_reader_and_moves_to_the_first_copy():
    split = insert_splits(NetDef(layers=(layer("d", "", "x", loss_weight=(2.0,)), layer("a", "x", "p"))))
    assert split.layers[0].loss_weight == (0.0,)
    assert split.layers[1].loss_weight == (2.0, 0.0)
    assert split.layers[2].bottoms == ("x_d_0_split_1",)


def test_a_blob_with_one_reader_is_left_alone():
    definition = NetDef(layers=(layer("d", "", "x"), layer("a", "x", "y")))
    assert insert_splits(definition) == definition
