"""Small nets whose layers cuDNN's engine takes: what lies between products, and normalisations."""

NET = """
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 2 dim: 3 dim: 7 dim: 6 } shape { dim: 2 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param {
  num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
%s
layer { name: "ip" type: "InnerProduct" bottom: "out" top: "ip" inner_product_param {
  num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def layer(type, text="", bottoms=("a",), top="out"):
    ends = " ".join(f'bottom: "{name}"' for name in bottoms) + f' top: "{top}"'
    return f'layer {{ name: "{type}_{top}" type: "{type}" {ends} {text} }}\n'


def part(top, outputs=8, bottom="a"):
    return layer("Convolution", f'convolution_param {{ num_output: {outputs} kernel_size: 1 weight_filler {{ '
                 'type: "xavier" } }', (bottom,), top)


CASES = {
    "largest": layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 }"),
    "largest, padded": layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
    "mean": layer("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"),
    "mean of the plane": layer("Pooling", "pooling_param { pool: AVE global_pooling: true }"),
    "mean without padding": layer("Pooling", "pooling_param { pool: AVE_EXC_PAD kernel_size: 3 stride: 2 pad: 1 }"),
    "LRN": layer("LRN", "lrn_param { local_size: 3 alpha: 0.5 }"),
    "ReLU": layer("ReLU"),
    "leaky ReLU": layer("ReLU", "relu_param { negative_slope: 0.25 }"),
    "leaky ReLU in place": layer("ReLU", "relu_param { negative_slope: 0.25 }", top="a")
    + layer("ReLU", "relu_param { negative_slope: 0.5 }"),
    "Dropout": layer("Dropout"),
    "Dropout in place": layer("ReLU") + layer("Dropout", bottoms=("out",)),
    "sum": part("b") + part("c") + layer("Eltwise", bottoms=("a", "b", "c")),
    "weighed sum": part("b") + layer("Eltwise", "eltwise_param { coeff: 0.5 coeff: -2 }", ("a", "b")),
    "sum and ReLU": part("b") + layer("Eltwise", bottoms=("a", "b"))
    + 'layer { name: "r" type: "ReLU" bottom: "out" top: "out" }',
    "Concat": part("b", 8) + part("c", 5) + layer("Concat", bottoms=("b", "a", "c")),
    "Concat of 16 channels": part("b", 8) + layer("Concat", bottoms=("b", "a")),
}


def conv(name, bottom, outputs=8, bias=True):
    return f"""layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" convolution_param {{
      num_output: {outputs} kernel_size: 3 pad: 1 bias_term: {str(bias).lower()}
      weight_filler {{ type: "xavier" }} }} }}
"""


def norm(name, blob, top="", relu=True, **params):
    more, top = " ".join(f"{key}: {value}" for key, value in params.items()), top or blob
    text = f"""layer {{ name: "bn{name}" type: "BatchNorm" bottom: "{blob}" top: "{top}"
      batch_norm_param {{ {more} }} }}
    layer {{ name: "scale{name}" type: "Scale" bottom: "{top}" top: "{top}" scale_param {{ bias_term: true
      filler {{ type: "uniform" min: 0.5 max: 1.5 }} bias_filler {{ type: "uniform" min: -0.5 max: 0.5 }} }} }}
    """
    return text + (f'layer {{ name: "relu{name}" type: "ReLU" bottom: "{top}" top: "{top}" }}\n' if relu else "")


DATA = """layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 3 dim: 3 dim: 6 dim: 5 } shape { dim: 3 } } }
"""
END = """layer { name: "ip" type: "InnerProduct" bottom: "%s" top: "ip" inner_product_param { num_output: 4
  weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
PLAIN = DATA + conv("a", "data") + norm("a", "a") + conv("b", "a", bias=False) + norm("b", "b", relu=False) + END % "b"
BLOCK = DATA + conv("a", "data") + norm("a", "a") + conv("b", "a", bias=False) + norm("b", "b", relu=False)
BLOCK += 'layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }\n'
BLOCK += 'layer { name: "relu" type: "ReLU" bottom: "sum" top: "sum" }\n' + END % "sum"
