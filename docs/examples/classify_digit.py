"""Classification: a picture through caffe.io into a trained net, and the most probable classes out of it.

    layerforge run classify_digit.py zoo/digits/deploy.prototxt digits.caffemodel picture.png ...
"""

import sys

import caffe
import numpy as np

model, weights, *pictures = sys.argv[1:]
caffe.set_mode_cpu()
net = caffe.Net(model, caffe.TEST, weights=weights)

transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
transformer.set_transpose("data", (2, 0, 1))  # (H, W, K) becomes (K, H, W)
transformer.set_raw_scale("data", 255)  # load_image gives 0 … 1
transformer.set_input_scale("data", 1 / 15 / 16)  # grays of 0 … 240 are strokes of 0 … 16, which the net takes as 0 … 1
# A net of coloured photographs also has: set_mean("data", mean), set_channel_swap("data", (2, 1, 0))

net.blobs["data"].reshape(len(pictures), *net.blobs["data"].data.shape[1:])  # as many as there are
for i, name in enumerate(pictures):
    net.blobs["data"].data[i] = transformer.preprocess("data", caffe.io.load_image(name, color=False))
output = net.forward()

for name, probabilities in zip(pictures, output["prob"]):
    best = probabilities.argsort()[::-1][:3]
    print(f"{name}: {probabilities.argmax()}  (" + ", ".join(f"{k} {probabilities[k]:.3f}" for k in best) + ")")
print(f"conv1 of {pictures[0]} answers between {net.blobs['conv1'].data[0].min():.2f} and "
      f"{np.max(net.blobs['conv1'].data[0]):.2f}")
