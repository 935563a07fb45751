"""What a plan decided can be read as rows."""

from engines_compare import net_text

from layerforge.graph.explain import explain, machine_speeds
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

TEXT = net_text("Convolution c data > c { convolution_param { num_output: 16 kernel_size: 3 } }", "ReLU r c > c")


def rows(**more):
    net = build_net(parse_net(TEXT), Phase.TRAIN, **more)
    return explain(net.plan, net.layers)


def test_layers_without_an_engine_are_rows_of_their_own_without_kernels():
    found = rows(engines=())
    assert [row.layers for row in found] == [("data",), ("c",), ("r",)]
    assert not any(row.kernels for row in found) and {row.engine for row in found} == {"layer"}


def test_fused_layers_are_one_row_with_kernels_and_layouts():
    found = rows()[-1]
    if found.engine == "layer":  # no engine loads here
        return
    assert found.layers == ("c", "r") and found.types == ("Convolution", "ReLU")
    assert {kernel.run for kernel in found.kernels} == {"forward", "backward"}
    assert found.kernels[0].name == "convolution_forward" and dict(found.kernels[0].layouts).keys() == {"x", "W", "y"}
    assert found.flops == 2 * 2 * 16 * 7 * 6 * 6 * 9


def test_backward_counts_a_product_for_each_gradient():
    with_both = rows()[-1]
    if with_both.engine == "layer":  # no engine loads here
        return
    assert with_both.is_product and with_both.backward_flops == 2 * with_both.flops
    first = build_net(parse_net(TEXT.replace("force_backward: true", "")), Phase.TRAIN)
    assert explain(first.plan, first.layers)[-1].backward_flops in (0, with_both.flops)  # nobody wants dx


def test_what_a_step_reads_and_writes_is_counted_in_bytes():
    found = rows()[-1]
    if found.engine == "layer":
        return
    x, w, b, y = 2 * 6 * 9 * 8, 16 * 6 * 9, 16, 2 * 16 * 7 * 6
    assert found.nbytes >= 4 * (x + w + b + y)
    assert rows(backward=False)[-1].backward_nbytes == 0 < found.backward_nbytes


def test_a_plan_without_an_engine_knows_no_speeds():
    net = build_net(parse_net(TEXT), Phase.TRAIN, engines=())
    assert machine_speeds(net.plan) is None


def test_shapes_that_an_engine_refuses_later_show_its_reason(caplog):
    fields = "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"
    net = build_net(parse_net(net_text(f"Pooling p data > p {{ {fields} }}", shape=(2, 4, 7, 7))))
    engine = net.steps[-1].engine
    if engine == "layer":  # no engine loads here
        return
    for side, runs in ((8, "layer"), (7, engine), (8, "layer")):
        net.blobs["data"].reshape((2, 4, side, side))
        net.forward()
        row = explain(net.plan, net.layers)[-1]
        assert row.engine == runs
        assert [refusal.engine for refusal in row.refusals] == ([engine] if runs == "layer" else [])
    assert [record.message for record in caplog.records] == [
        f"layer 'p' (Pooling): {engine} does not take these shapes: {row.refusals[0].reason}"
    ]
