"""Layers by type and option that engines take, written as `net_text` of engines_compare reads them."""

FILL = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.3 }'


def conv(fields, kind="Convolution"):
    return f"{kind} x data > x {{ convolution_param {{ {FILL} {fields} }} }}"


def layer(kind, fields="", tops="x"):
    return f"{kind} x data > {tops} {{ {fields} }}"


def pool(fields):
    return layer("Pooling", f"pooling_param {{ {fields} }}")


def ip(fields):
    return layer("InnerProduct", f"inner_product_param {{ {FILL} {fields} }}")


ACCEPTED = {
    "convolution": conv("num_output: 5 kernel_size: 3"),
    "convolution of 16 channels": conv("num_output: 16 kernel_size: 3 pad: 1"),
    "convolution, stride and pad": conv("num_output: 5 kernel_size: 3 stride: 2 pad: 1"),
    "convolution, other height and width": conv(
        "num_output: 5 kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 2 pad_h: 2 pad_w: 0"
    ),
    "convolution 1×1": conv("num_output: 7 kernel_size: 1"),
    "convolution 1×1, stride": conv("num_output: 7 kernel_size: 1 stride: 2"),
    "convolution without bias": conv("num_output: 5 kernel_size: 3 bias_term: false"),
    "convolution in groups": conv("num_output: 4 kernel_size: 3 group: 2"),
    "convolution, dilated": conv("num_output: 5 kernel_size: 3 dilation: 2 pad: 2"),
    "convolution, four pads": conv("num_output: 5 kernel_size: 3 pad_t: 1 pad_l: 2 pad_b: 0 pad_r: 1"),
    "depthwise by groups": conv("num_output: 6 kernel_size: 3 group: 6 pad: 1"),
    "depthwise by type": conv("num_output: 6 kernel_size: 3 pad: 1", "DepthwiseConvolution"),
    "depthwise, two outputs each": conv("num_output: 12 kernel_size: 3 pad: 1", "DepthwiseConvolution"),
    "deconvolution": conv("num_output: 5 kernel_size: 3 stride: 2", "Deconvolution"),
    "deconvolution, pad": conv("num_output: 5 kernel_size: 4 stride: 2 pad: 1", "Deconvolution"),
    "deconvolution in groups": conv("num_output: 6 kernel_size: 4 stride: 2 pad: 1 group: 3", "Deconvolution"),
    "deconvolution, depthwise": conv(
        "num_output: 6 kernel_size: 4 stride: 2 pad: 1 group: 6 bias_term: false", "Deconvolution"
    ),
    "inner product": ip("num_output: 5"),
    "inner product without bias": ip("num_output: 5 bias_term: false"),
    "inner product of inner axes": ip("num_output: 5 axis: 2"),
    "inner product, transposed": ip("num_output: 5 transpose: true"),
    "max pooling": pool("kernel_size: 2 stride: 2"),
    "max pooling, overlapping, rounding up": pool("kernel_size: 3 stride: 2"),
    "max pooling, pad": pool("kernel_size: 3 stride: 2 pad: 1"),
    "max pooling, floor": pool("kernel_size: 3 stride: 2 round_mode: FLOOR"),
    "max pooling, global": pool("global_pooling: true"),
    "average pooling": pool("pool: AVE kernel_size: 2 stride: 2"),
    "average pooling, rounding up": pool("pool: AVE kernel_size: 3 stride: 2"),
    "average pooling, pad": pool("pool: AVE kernel_size: 3 stride: 1 pad: 1"),
    "average pooling, global": pool("pool: AVE global_pooling: true"),
    "average pooling without padding": pool("pool: AVE_EXC_PAD kernel_size: 3 stride: 2 pad: 1"),
    "LRN": layer("LRN", "lrn_param { alpha: 0.5 }"),
    "LRN, other numbers": layer("LRN", "lrn_param { local_size: 3 alpha: 0.1 beta: 0.5 k: 2 }"),
    "softmax": layer("Softmax"),
    "softmax, last axis": layer("Softmax", "softmax_param { axis: -1 }"),
    "ReLU": layer("ReLU"),
    "ReLU, leaky": layer("ReLU", "relu_param { negative_slope: 0.1 }"),
    "ReLU, negative slope below zero": layer("ReLU", "relu_param { negative_slope: -0.1 }"),
    "ReLU6": layer("ReLU6", "relu6_param { threshold: 0.7 }"),
    "ELU": layer("ELU", "elu_param { alpha: 0.7 }"),
    "sigmoid": layer("Sigmoid"),
    "tanh": layer("TanH"),
    "swish": layer("Swish", "swish_param { beta: 1.5 }"),
    "BNLL": layer("BNLL"),
    "dropout": layer("Dropout"),
    "dropout, unscaled": layer("Dropout", "dropout_param { dropout_ratio: 0.3 scale_train: false }"),
    "flatten": layer("Flatten"),
    "flatten, inner axes": layer("Flatten", "flatten_param { axis: 2 }"),
    "reshape": layer("Reshape", "reshape_param { shape { dim: 0 dim: 3 dim: -1 } }"),
    "squeeze": layer("Squeeze"),
    "expanded axes": layer("ExpandDimsND", "expand_dims_nd_param { axis: 1 }"),
}
