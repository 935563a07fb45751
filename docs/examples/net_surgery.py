"""Net surgery: fully connected layers become convolutions, and a classifier of one digit reads a whole row of them.

    layerforge run net_surgery.py zoo/digits/deploy.prototxt digits.caffemodel picture.png picture.png ...

An inner product over (C, H, W) is a convolution whose kernel is H × W: same numbers, in the same order. The net then
takes pictures of any size, and answers for every window of 8 × 8 pixels, two pixels apart.
"""

import sys

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

model, weights, *pictures = sys.argv[1:]
caffe.set_mode_cpu()
net = caffe.Net(model, caffe.TEST, weights=weights)

# 1. The definition: InnerProduct becomes Convolution, under a new name, so that no weights are taken by mistake.
definition = caffe_pb2.NetParameter()
with open(model) as file:
    text_format.Merge(file.read(), definition)
renamed = {}
for layer in definition.layer:
    if layer.type == "InnerProduct":
        bottom = net.blobs[layer.bottom[0]].data
        side = bottom.shape[2] if bottom.ndim == 4 else 1
        renamed[layer.name] = layer.name + "-conv"
        layer.name, layer.type = layer.name + "-conv", "Convolution"
        layer.convolution_param.num_output = layer.inner_product_param.num_output
        layer.convolution_param.kernel_size.append(side)
        layer.ClearField("inner_product_param")
with open("digits_conv.prototxt", "w") as file:
    file.write(text_format.MessageToString(definition))

# 2. The weights: W of (outputs, C·H·W) is a kernel of (outputs, C, H, W), flat memory and all.
conv = caffe.Net("digits_conv.prototxt", caffe.TEST, weights=weights)
for old, new in renamed.items():
    conv.params[new][0].data.flat = net.params[old][0].data.flat
    conv.params[new][1].data[...] = net.params[old][1].data
    print(f"{old} {net.params[old][0].data.shape} is {new} {conv.params[new][0].data.shape} now")
conv.save("digits_conv.caffemodel")

# 3. One picture gives what it gave; a row of pictures gives a map of answers.
transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
transformer.set_transpose("data", (2, 0, 1))
transformer.set_raw_scale("data", 255 / (15 * 16))
digits = [transformer.preprocess("data", caffe.io.load_image(name, color=False)) for name in pictures]

before = net.forward(data=digits[0][None])["prob"][0].copy()
after = conv.forward(data=digits[0][None])["prob"][0, :, 0, 0]
print(f"largest difference on one digit: {np.abs(before - after).max():.1e}")

row = np.concatenate(digits, axis=2)[None]  # (1, 1, 8, 8 · digits)
conv.blobs["data"].reshape(*row.shape)
answers = conv.forward(data=row)["prob"][0, :, 0]  # (10, windows)
print(f"a row of {row.shape[3]} pixels gives {answers.shape[1]} answers")
print("read at the digits' places:", " ".join(str(k) for k in answers[:, ::4].argmax(0)))
