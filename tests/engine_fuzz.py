"""Random small nets of layers that engines take."""

from engines_compare import net_text
from hypothesis import strategies as st

from layerforge.netdef.types import Phase

FILL = 'weight_filler { type: "gaussian" std: 0.2 } bias_filler { type: "gaussian" std: 0.2 }'


@st.composite
def nets(draw):
    """Layers on top of one another: some in place, some branching off a blob that others read too."""
    channels, blobs, lines = {"data": draw(st.sampled_from([3, 6, 16]))}, ["data"], []
    shape = (draw(st.integers(1, 3)), channels["data"], draw(st.integers(7, 11)), draw(st.integers(7, 11)))
    for k in range(draw(st.integers(1, 6))):
        x = draw(st.sampled_from(blobs[-3:]))
        name = f"l{k}"
        line, here, count = draw(layer(name, x, channels, blobs))
        lines.append(line)
        if here not in blobs:
            blobs.append(here)
        channels[here] = count
    return net_text(*lines, shape=shape), draw(st.sampled_from([Phase.TRAIN, Phase.TEST]))


@st.composite
def layer(draw, name, x, channels, blobs):
    """(line, top, its channels)"""
    count = channels[x]
    alike = [b for b in blobs if channels[b] == count and b != x]
    kind = draw(st.sampled_from(["conv", "conv", "pool", "relu", "inside", "norm", "lrn", "concat"]))
    inside = x if x != "data" else name  # the input itself is fed by the test: nobody may overwrite it
    if kind == "conv":
        group = draw(st.sampled_from([g for g in (1, 2, count) if count % g == 0]))
        outputs = group * draw(st.integers(1, 20 // group + 1))
        kernel, stride, pad = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(0, 2))
        bias = draw(st.sampled_from(["true", "false"]))
        fields = (
            f"num_output: {outputs} group: {group} kernel_size: {kernel} stride: {stride} pad: {pad} bias_term: {bias}"
        )
        return f"Convolution {name} {x} > {name} {{ convolution_param {{ {fields} {FILL} }} }}", name, outputs
    if kind == "pool":
        kernel = draw(st.integers(1, 3))
        stride = draw(st.integers(1, min(2, kernel)))  # else windows may lie outside, where Caffe gives -FLT_MAX
        method, pad = draw(st.sampled_from(["MAX", "AVE"])), draw(st.integers(0, kernel - 1))
        fields = f"pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad}"
        return f"Pooling {name} {x} > {name} {{ pooling_param {{ {fields} }} }}", name, count
    if kind == "norm":
        return f"BatchNorm {name} {x} > {inside} {{ batch_norm_param {{ eps: 0.1 }} }}", inside, count
    if kind == "lrn":
        return f"LRN {name} {x} > {name} {{ lrn_param {{ alpha: 0.1 }} }}", name, count
    if kind == "concat" and alike:
        return f"Concat {name} {x} {alike[0]} > {name} {{ concat_param {{ axis: 0 }} }}", name, count
    if kind == "inside":
        return f"Scale {name} {x} > {inside} {{ scale_param {{ bias_term: true }} }}", inside, count
    return f"{draw(st.sampled_from(['ReLU', 'TanH', 'Sigmoid']))} {name} {x} > {inside}", inside, count
