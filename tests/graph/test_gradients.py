"""How many loss weights a layer may have."""

import pytest

from layerforge.core.errors import NetError
from layerforge.net.build import build_net
from layerforge.schema.read import parse_net

NET = """
layer {{ name: "data" type: "Input" top: "x" top: "t" input_param {{ shape {{ dim: 2 dim: 3 }} shape {{ dim: 2 }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" {} }}
"""


@pytest.mark.parametrize(
    ("said", "count", "tops"),
    [
        ('top: "l" top: "p" loss_weight: 1', 1, 2),
        ('top: "l" loss_weight: 1 loss_weight: 0', 2, 1),
        ("loss_weight: 1 loss_weight: 1", 2, 1),
    ],
)
def test_another_number_of_loss_weights_than_tops_is_refused(said, count, tops):
    with pytest.raises(NetError, match=f"{count} values of loss_weight for {tops} tops") as error:
        build_net(parse_net(NET.format(said), "net.prototxt"))
    assert error.value.where and "one value per top" in error.value.hint


@pytest.mark.parametrize(
    ("said", "weights"),
    [("loss_weight: 3", [3.0]), ("", [1.0]), ('top: "l" loss_weight: 3', [3.0]),
     ('top: "l" top: "p" loss_weight: 2 loss_weight: 0', [2.0, 0.0])],
)
def test_as_many_as_tops_are_taken_also_where_a_top_has_no_name(said, weights):
    net = build_net(parse_net(NET.format(said)))
    assert list(net.gradients.loss_weights[-1]) == weights
