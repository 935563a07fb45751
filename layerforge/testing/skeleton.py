"""Writes a layer to start from, and its test: `python -m layerforge.testing.skeleton Swish2`."""

from __future__ import annotations

import os
import sys

from layerforge.core.errors import LayerForgeError, NetError
from layerforge.core.files import replacing
from layerforge.layers.registry import layer_types, snake

LAYER = '''"""{name}: what it is for, in a line."""

from __future__ import annotations

from {base} import Layer


class {name}(Layer):
    """y = x / (1 + e^-x)

    bottom[0]  x, any shape
    top[0]     y, the same shape
    """

    type = "{name}"

    def reshape(self, bottom, top):
        top[0].reshape(bottom[0].shape)
        self.gate = self.kept(bottom[0].shape)

    def forward(self, bottom, top):
        xp, gate = self.xp, self.gate.data
        xp.negative(bottom[0].data, out=gate)
        xp.exp(gate, out=gate)
        xp.add(gate, 1, out=gate)
        xp.reciprocal(gate, out=gate)  # 1 / (1 + e^-x)
        xp.multiply(bottom[0].data, gate, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:  # dx = dy · gate · (1 + x · (1 - gate))
            xp, gate, dx = self.xp, self.gate.data, bottom[0].diff
            xp.subtract(1, gate, out=dx)
            xp.multiply(dx, bottom[0].data, out=dx)
            xp.add(dx, 1, out=dx)
            xp.multiply(dx, gate, out=dx)
            xp.multiply(dx, top[0].diff, out=dx)
'''
TEST = '''"""{name} against its formula."""

from __future__ import annotations

import numpy as np

from {module} import {name}
from layerforge.testing import LayerTest


class Test{name}(LayerTest):
    layer = {name}

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4))]

    def expected(self, x):
        return x / (1 + np.exp(-x))
'''


def write_layer(name: str, folder: str = "", tests: str = "", *, ours: bool = False) -> tuple[str, str]:
    """Writes the file of the layer and of its test; gives their paths.

    ours  the layer is to be one of this project's, not a plugin

    Raises NetError when the name is no name of a class, or taken; DataError when a file cannot be written.
    """
    if not name.isidentifier() or not name[0].isupper():
        raise NetError(f"{name!r} is no name for a layer", hint="it is a class: Swish2")
    base = snake(name)
    layer, test = os.path.join(folder, f"{base}.py"), os.path.join(tests, f"test_{base}.py")
    taken = [path for path in (layer, test) if os.path.exists(path)]
    if taken or name in layer_types():
        raise NetError(f"the layer {name!r} exists already" + (f" in {taken[0]}" if taken else ""),
                       hint="choose another name")
    module = f"layerforge.layers.{base}" if ours else base
    text = LAYER.replace("{base}", "layerforge.layers.base" if ours else "layerforge.plugin")
    for path, content in ((layer, text), (test, TEST.replace("{module}", module))):
        with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(content.replace("{name}", name))
    return layer, test


def main(arguments: list[str]) -> int:
    """NAME [FOLDER TESTS]: without folders a plugin in the working folder."""
    if len(arguments) not in (1, 3) or not arguments[0]:
        print("say which layer: make layer NAME=Swish2", file=sys.stderr)
        return 2
    try:
        written = write_layer(*arguments, ours=len(arguments) == 3)
    except LayerForgeError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(written))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
