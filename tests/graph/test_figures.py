"""Parameters and multiply-accumulates from shapes alone."""

from layerforge.graph.figures import layer_figures, totals
from layerforge.net.build import build_net
from layerforge.schema.read import parse_net


def figures(text, **state):
    net = build_net(parse_net(text), **state)
    return {row.name: row for row in layer_figures(net.graph, net.layers, net.blob_list)}


X = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 6 dim: 5 } } } '
SEQUENCE = """
layer { name: "x" type: "Input" top: "x" top: "cont" top: "s" input_param {
  shape { dim: 7 dim: 3 dim: 4 } shape { dim: 7 dim: 3 } shape { dim: 3 dim: 5 } } }
layer { name: "y" type: "%s" bottom: "x" bottom: "cont" bottom: "s" top: "y" recurrent_param { num_output: 2 } }"""


def test_convolution_counts_a_kernel_for_each_output_value():
    row = figures(X + """layer { name: "y" type: "Convolution" bottom: "x" top: "y"
        convolution_param { num_output: 6 kernel_size: 3 group: 2 } }""")["y"]
    assert (row.parameters, row.macs, row.tops) == (6 * 2 * 9 + 6, 2 * 6 * 4 * 3 * 2 * 9, ((2, 6, 4, 3),))


def test_deconvolution_counts_a_kernel_for_each_input_value():
    row = figures(X + """layer { name: "y" type: "Deconvolution" bottom: "x" top: "y"
        convolution_param { num_output: 6 kernel_size: 4 stride: 2 bias_term: false } }""")["y"]
    assert (row.parameters, row.macs) == (4 * 6 * 16, 2 * 4 * 30 * 6 * 16)


def test_inner_product_counts_every_pair():
    row = figures(X + """layer { name: "y" type: "InnerProduct" bottom: "x" top: "y"
        inner_product_param { num_output: 7 } }""")["y"]
    assert (row.parameters, row.macs) == (120 * 7 + 7, 2 * 120 * 7)


def test_recurrent_layers_count_static_weights_once_a_stream():
    row = figures(SEQUENCE % "LSTM")["y"]
    assert row.macs == 3 * (7 * (8 * 4 + 8 * 2) + 8 * 5)


def test_statistics_are_no_parameters():
    row = figures(X + 'layer { name: "y" type: "BatchNorm" bottom: "x" top: "y" }')["y"]
    assert (row.parameters, row.statistics, row.macs) == (0, 4 + 4 + 1, 0)


def test_shared_parameters_count_once():
    layer = """layer { name: "%s" type: "InnerProduct" bottom: "x" top: "%s" param { name: "w" } param { name: "b" }
        inner_product_param { num_output: 3 } }"""
    rows = figures(X + layer % ("a", "a") + layer % ("b", "b"))
    assert (rows["a"].parameters, rows["b"].parameters) == (363, 0) and rows["b"].macs == rows["a"].macs


def test_totals_add_up():
    rows = figures(X + """
        layer { name: "y" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 1 kernel_size: 1 } }
        layer { name: "z" type: "BatchNorm" bottom: "y" top: "z" }""").values()
    assert totals(rows) == type(totals(rows))(parameters=5, statistics=3, macs=2 * 30 * 4)
