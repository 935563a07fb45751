"""One net twice, with an engine and without: same values, same parameters, the same passes, and what differs."""

from __future__ import annotations

import numpy as np

from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net


class Pair:
    """The net of a text with the default engines, and with none.

    compute_type  of the first; what differs within float32's rounding is then an error no more
    """

    def __init__(
        self, text: str, phase: Phase = Phase.TRAIN, keep: str = "all", seed: int = 1, compute_type: str = ""
    ) -> None:
        definition = parse_net(text, "net.prototxt")
        self.engine = build_net(definition, phase, rng=Random(seed), keep=keep, compute_type=compute_type)
        self.plain = build_net(definition, phase, rng=Random(seed), keep="all", engines=())
        self.keep = keep
        self.rng = np.random.default_rng(seed)
        for i, blob in enumerate(each.blob for each in self.plain.learnable):
            values = blob.data.array(HOST).copy()
            if not values.any() or np.ptp(values) == 0:
                values = self.rng.uniform(0.5, 1.5, values.shape).astype(np.float32)
            for net in self.nets:
                net.learnable[i].blob.data.set(values)

    @property
    def nets(self):
        return self.engine, self.plain

    def feed(self, **inputs):
        """Random inputs, or those given by name."""
        for name in self.plain.inputs:
            blob = self.plain.blobs[name]
            values = inputs.get(name)
            if values is None:
                values = self.rng.standard_normal(blob.shape)
            for net in self.nets:
                net.blobs[name].data.set(np.asarray(values, np.float32))

    def forward(self, **inputs):
        """Both forward; every blob that must show its value agrees."""
        self.feed(**inputs)
        losses = [net.forward() for net in self.nets]
        np.testing.assert_allclose(*losses, rtol=2e-4, atol=1e-4)
        self.compare("data")

    def backward(self, clear=True):
        """Both backward from random gradients of the outputs; blobs' and parameters' gradients agree."""
        for name in self.plain.outputs:
            if not self.plain.loss_weights[name]:
                dy = self.rng.standard_normal(self.plain.blobs[name].shape).astype(np.float32)
                for net in self.nets:
                    net.blobs[name].diff.set(dy)
        for net in self.nets:
            if clear:
                net.clear_gradients()
            net.backward()
        self.compare("diff")

    def run(self, **inputs):
        self.forward(**inputs)
        self.backward()

    def compare(self, part):
        names = self.plain.blobs if self.keep == "all" else self.plain.outputs
        wanted = {
            self.plain.graph.blobs[b]
            for node, downs in zip(self.plain.graph.nodes, self.plain.gradients.bottoms)
            for b, down in zip(node.bottoms, downs)
            if down
        }
        for name in names:
            if part == "data" or name in wanted:
                agree(f"{name}.{part}", *(getattr(net.blobs[name], part).array(HOST) for net in self.nets))
        for one, other in zip(self.engine.layers, self.plain.layers):
            for k, (a, b) in enumerate(zip(one.blobs, other.blobs)):
                if part == "data" or other.needs_gradient[k]:
                    agree(
                        f"{one.name}.{k}.{part}", *(getattr(view.blob, part).array(HOST) for view in (a, b)), atol=3e-4
                    )

    def lowered(self):
        """Layer name → who runs it."""
        return {self.engine.layer_names[i]: step.engine for step in self.engine.steps for i in step.layers}

    def refusals(self):
        """Layer name → why the engine does not run it."""
        return {
            self.engine.layer_names[choice.step.layers[0]]: choice.refusals[0].reason
            for choice in self.engine.plan.choices
            if choice.refusals
        }


def agree(what, got, want, rtol=1e-4, atol=2e-5):
    """Within rounding of float32 sums."""
    scale = max(1.0, float(np.abs(want).max(initial=0)))
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol * scale, err_msg=what)


def net_text(*layers, shape=(2, 6, 9, 8), more=""):
    """A net of one input `data` and layers written as "Type name bottoms > tops { fields }"."""
    dims = " ".join(f"dim: {n}" for n in shape)
    source = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}'
    lines = [f'name: "net" force_backward: true {more} {source}']
    for line in layers:
        head, _, fields = line.partition("{")
        names, _, tops = head.partition(">")
        kind, name, *bottoms = names.split()
        lines.append(
            f'layer {{ name: "{name}" type: "{kind}" '
            + " ".join(f'bottom: "{b}"' for b in bottoms)
            + " "
            + " ".join(f'top: "{t}"' for t in tops.split())
            + " "
            + (fields.rstrip()[:-1] if fields else "")
            + " }"
        )
    return "\n".join(lines)
