"""Trees become definitions and back."""

from layerforge.netdef.types import NetDef, NetState, Phase
from layerforge.schema.binary import parse_binary
from layerforge.schema.convert import net_def
from layerforge.schema.read import net_from_message, parse_net, parse_solver
from layerforge.schema.write import net_bytes, net_text, solver_text

TEXT = """name: "n"
force_backward: true
state {
  phase: TRAIN
  level: 2
  stage: "s"
}
debug_info: true
layer {
  name: "c"
  type: "Convolution"
  bottom: "x"
  top: "y"
  loss_weight: 0.5
  param {
    name: "w"
    share_mode: PERMISSIVE
    lr_mult: 0.1
  }
  param {
    decay_mult: 0
  }
  include {
    phase: TEST
    min_level: 1
    stage: "a"
    not_stage: "b"
  }
  phase: TRAIN
  propagate_down: false
  convolution_param {
    num_output: 2
    kernel_size: 3
    kernel_size: 1
    weight_filler {
      type: "xavier"
    }
  }
  python_param {
    param_str: "{\\"a\\": \\\\1}\\n"
  }
}
"""


def test_a_net_is_read_with_all_its_parts():
    net = parse_net(TEXT, "f")
    layer = net.layers[0]
    assert (net.name, net.force_backward, net.debug_info) == ("n", True, True)
    assert net.state == NetState(Phase.TRAIN, 2, ("s",))
    assert (layer.name, layer.type, layer.bottoms, layer.tops) == ("c", "Convolution", ("x",), ("y",))
    assert (
        layer.param[0].share_mode == "PERMISSIVE"
        and layer.param[0].decay_mult is None
        and layer.param[1].decay_mult == 0
    )
    assert layer.include[0].stages == ("a",) and layer.include[0].max_level is None
    assert (layer.phase, layer.propagate_down, layer.loss_weight) == (Phase.TRAIN, (False,), (0.5,))
    kernel = layer.params["convolution_param"].value["kernel_size"].value
    assert [(k.value, k.where.line) for k in kernel] == [(3, 33), (1, 34)]


def test_places_of_bottoms_and_tops_are_kept():
    layer = parse_net(TEXT, "f").layers[0]
    assert (
        str(layer.place("bottom[0]")) == "f:12"
        and str(layer.place("type")) == "f:11"
        and str(layer.place("nothing")) == "f:9"
    )


def test_a_net_is_written_as_it_was_read():
    assert net_text(parse_net(TEXT)) == TEXT


def test_binary_carries_the_same_net():
    net = parse_net(TEXT)
    again = net_def(parse_binary(net_bytes(net), "NetParameter", "f"))
    assert net_text(again) == TEXT


def test_messages_of_another_programs_classes_are_taken():
    from layerforge.schema.messages import message_class

    message = message_class("NetParameter").FromString(net_bytes(parse_net(TEXT)))
    assert net_text(net_from_message(message)) == TEXT


def test_a_solver_keeps_what_is_set_and_nothing_else():
    text = 'test_iter: 5\nbase_lr: 0.01\nlr_policy: "step"\nsnapshot_format: HDF5\n'
    solver = parse_solver(text, "s")
    assert set(solver.fields) == {"test_iter", "base_lr", "lr_policy", "snapshot_format"}
    assert solver.fields["snapshot_format"].value == "HDF5" and str(solver.fields["base_lr"].where) == "s:2"
    assert solver_text(solver) == text


def test_nets_inside_a_solver_are_definitions():
    solver = parse_solver('train_net_param { name: "a" } test_net_param { name: "b" } test_net_param { name: "c" }')
    assert isinstance(solver.fields["train_net_param"].value, NetDef)
    assert [net.value.name for net in solver.fields["test_net_param"].value] == ["b", "c"]
    assert solver_text(solver).count("test_net_param {") == 2


def test_numbers_are_written_so_that_they_read_back():
    text = net_text(parse_net("layer { loss_weight: [1e-10, 3e38, -0.1, 12345678, inf] }"))
    values = parse_net(text).layers[0].loss_weight
    assert values == (1e-10, 3e38, -0.1, 12345678.0, float("inf"))


def test_messages_that_fit_into_the_width_stand_on_one_line():
    text = """layer { name: "a { b" type: "ReLU" }
layer {
  name: "ip"
  type: "InnerProduct"
  include { }
  inner_product_param {
    num_output: 10
    weight_filler { type: "xavier" }
  }
}
"""
    assert net_text(parse_net(text), width=40) == text
    assert net_text(parse_net(net_text(parse_net(text), width=200))) == net_text(parse_net(text))
