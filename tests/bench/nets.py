"""The nets of the benchmark as prototxt texts. Plain: a list of layers, each a line of text."""

from __future__ import annotations

from functools import partial

FILL = 'weight_filler { type: "msra" }'


class Text:
    """Collects layers; every method returns the name of its top."""

    def __init__(self, name: str, shape: tuple[int, ...], train: bool) -> None:
        dims = " ".join(f"dim: {n}" for n in shape)
        self.lines = [
            f'name: "{name}"',
            f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}',
        ]
        self.train, self.batch = train, shape[0]
        if train:
            self.lines.append(
                f'layer {{ name: "label" type: "Input" top: "label" input_param {{ shape {{ dim: {shape[0]} }} }} }}'
            )

    def add(self, kind: str, name: str, bottoms: str, top: str = "", fields: str = "") -> str:
        top = top or name
        ends = " ".join(f'bottom: "{b}"' for b in bottoms.split()) + f' top: "{top}"'
        self.lines.append(f'layer {{ name: "{name}" type: "{kind}" {ends} {fields} }}')
        return top

    def conv(
        self,
        name: str,
        x: str,
        outputs: int,
        kernel: int,
        stride: int = 1,
        pad: int = 0,
        more: str = "",
        relu: bool = True,
    ) -> str:
        self.add(
            "Convolution",
            name,
            x,
            "",
            f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} stride: {stride} pad: {pad} "
            f"{FILL} {more} }}",
        )
        return self.relu(name) if relu else name

    def relu(self, x: str) -> str:
        return self.add("ReLU", f"{x}/relu", x, x)

    def pool(self, name: str, x: str, kernel: int, stride: int, pad: int = 0, method: str = "MAX") -> str:
        return self.add(
            "Pooling",
            name,
            x,
            "",
            f"pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} }}",
        )

    def lrn(self, name: str, x: str) -> str:
        return self.add("LRN", name, x, "", "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")

    def ip(self, name: str, x: str, outputs: int) -> str:
        return self.add(
            "InnerProduct",
            name,
            x,
            "",
            f'inner_product_param {{ num_output: {outputs} weight_filler {{ type: "xavier" }} }}',
        )

    def dropout(self, x: str) -> str:
        return self.add("Dropout", f"{x}/drop", x, x) if self.train else x

    def norm(self, x: str, relu: bool = True) -> str:
        self.add("BatchNorm", f"{x}/bn", x, x)
        self.add("Scale", f"{x}/scale", x, x, "scale_param { bias_term: true }")
        return self.relu(x) if relu else x

    def head(self, x: str, name: str = "loss", weight: float = 1.0) -> str:
        if self.train:
            return self.add("SoftmaxWithLoss", name, f"{x} label", "", f"loss_weight: {weight}")
        return self.add("Softmax", "prob", x)

    def __str__(self) -> str:
        return "\n".join(self.lines)


def lenet(batch: int, train: bool) -> Text:
    t = Text("lenet", (batch, 1, 28, 28), train)
    x = t.pool("pool1", t.conv("conv1", "data", 20, 5, relu=False), 2, 2)
    x = t.pool("pool2", t.conv("conv2", x, 50, 5, relu=False), 2, 2)
    x = t.relu(t.ip("ip1", x, 500))
    t.head(t.ip("ip2", x, 10))
    return t


def cifar10_quick(batch: int, train: bool) -> Text:
    t = Text("cifar10_quick", (batch, 3, 32, 32), train)
    x = t.relu(t.pool("pool1", t.conv("conv1", "data", 32, 5, 1, 2, relu=False), 3, 2))
    x = t.pool("pool2", t.conv("conv2", x, 32, 5, 1, 2), 3, 2, method="AVE")
    x = t.pool("pool3", t.conv("conv3", x, 64, 5, 1, 2), 3, 2, method="AVE")
    t.head(t.ip("ip2", t.ip("ip1", x, 64), 10))
    return t


def alexnet(batch: int, train: bool) -> Text:
    t = Text("alexnet", (batch, 3, 227, 227), train)
    x = t.pool("pool1", t.lrn("norm1", t.conv("conv1", "data", 96, 11, 4)), 3, 2)
    x = t.pool("pool2", t.lrn("norm2", t.conv("conv2", x, 256, 5, 1, 2, "group: 2")), 3, 2)
    x = t.conv("conv3", x, 384, 3, 1, 1)
    x = t.conv("conv4", x, 384, 3, 1, 1, "group: 2")
    x = t.pool("pool5", t.conv("conv5", x, 256, 3, 1, 1, "group: 2"), 3, 2)
    x = t.dropout(t.relu(t.ip("fc6", x, 4096)))
    x = t.dropout(t.relu(t.ip("fc7", x, 4096)))
    t.head(t.ip("fc8", x, 1000))
    return t


def vgg16(batch: int, train: bool) -> Text:
    t = Text("vgg16", (batch, 3, 224, 224), train)
    x = "data"
    for i, (count, outputs) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        for k in range(1, count + 1):
            x = t.conv(f"conv{i}_{k}", x, outputs, 3, 1, 1)
        x = t.pool(f"pool{i}", x, 2, 2)
    x = t.dropout(t.relu(t.ip("fc6", x, 4096)))
    x = t.dropout(t.relu(t.ip("fc7", x, 4096)))
    t.head(t.ip("fc8", x, 1000))
    return t


INCEPTION = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(batch: int, train: bool) -> Text:
    t = Text("googlenet", (batch, 3, 224, 224), train)
    x = t.lrn("norm1", t.pool("pool1", t.conv("conv1", "data", 64, 7, 2, 3), 3, 2))
    x = t.conv("conv2", t.conv("conv2r", x, 64, 1), 192, 3, 1, 1)
    x = t.pool("pool2", t.lrn("norm2", x), 3, 2)
    for name, (a, rb, b, rc, c, d) in INCEPTION.items():
        parts = [
            t.conv(f"{name}/1", x, a, 1),
            t.conv(f"{name}/3", t.conv(f"{name}/3r", x, rb, 1), b, 3, 1, 1),
            t.conv(f"{name}/5", t.conv(f"{name}/5r", x, rc, 1), c, 5, 1, 2),
            t.conv(f"{name}/p", t.pool(f"{name}/pool", x, 3, 1, 1), d, 1),
        ]
        x = t.add("Concat", name, " ".join(parts))
        if name in ("3b", "4e"):
            x = t.pool(f"pool{name[0]}", x, 3, 2)
        if train and name in ("4a", "4d"):
            y = t.conv(f"aux{name}/conv", t.pool(f"aux{name}/pool", x, 5, 3, method="AVE"), 128, 1)
            y = t.dropout(t.relu(t.ip(f"aux{name}/fc", y, 1024)))
            t.head(t.ip(f"aux{name}/out", y, 1000), f"loss{name}", 0.3)
    x = t.dropout(t.pool("pool5", x, 7, 1, method="AVE"))
    t.head(t.ip("fc", x, 1000))
    return t


def resnet50(batch: int, train: bool) -> Text:
    t = Text("resnet50", (batch, 3, 224, 224), train)
    free = "bias_term: false"
    x = t.pool("pool1", t.norm(t.conv("conv1", "data", 64, 7, 2, 3, free, relu=False)), 3, 2)
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 2):
        for k in range(blocks):
            name, stride = f"res{stage}{'abcdef'[k]}", 2 if k == 0 and stage > 2 else 1
            short = (
                t.norm(t.conv(f"{name}_1", x, 4 * width, 1, stride, 0, free, relu=False), relu=False) if k == 0 else x
            )
            y = t.norm(t.conv(f"{name}_2a", x, width, 1, stride, 0, free, relu=False))
            y = t.norm(t.conv(f"{name}_2b", y, width, 3, 1, 1, free, relu=False))
            y = t.norm(t.conv(f"{name}_2c", y, 4 * width, 1, 1, 0, free, relu=False), relu=False)
            x = t.relu(t.add("Eltwise", name, f"{short} {y}"))
    t.head(t.ip("fc", t.pool("pool5", x, 7, 1, method="AVE"), 1000))
    return t


def mobilenet(batch: int, train: bool) -> Text:
    t = Text("mobilenet", (batch, 3, 224, 224), train)
    free = "bias_term: false"
    x = t.norm(t.conv("conv1", "data", 32, 3, 2, 1, free, relu=False))
    width = 32
    for i, (outputs, stride) in enumerate(
        [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)], 2
    ):
        x = t.norm(t.conv(f"conv{i}/dw", x, width, 3, stride, 1, f"{free} group: {width}", relu=False))
        x = t.norm(t.conv(f"conv{i}/sep", x, outputs, 1, 1, 0, free, relu=False))
        width = outputs
    t.head(t.ip("fc", t.pool("pool", x, 7, 1, method="AVE"), 1000))
    return t


def mlp(name: str, widths: tuple[int, ...], batch: int, train: bool) -> Text:
    t = Text(name, (batch, widths[0]), train)
    x = "data"
    for i, width in enumerate(widths[1:], 1):
        x = t.ip(f"ip{i}", x, width)
        if i < len(widths) - 1:
            x = t.relu(x)
    t.head(x)
    return t


NETS = {
    "lenet": (lenet, 64),
    "cifar10_quick": (cifar10_quick, 100),
    "alexnet": (alexnet, 16),
    "googlenet": (googlenet, 16),
    "vgg16": (vgg16, 8),
    "resnet50": (resnet50, 8),
    "mobilenet": (mobilenet, 16),
    "fcn_r": (partial(mlp, "fcn_r", (784, 2048, 4096, 4096, 1024, 10)), 1024),
    "fcn_s": (partial(mlp, "fcn_s", (26752, 1000, 1000, 1000, 26752)), 64),
}
"""Name → (maker, batch size)."""
