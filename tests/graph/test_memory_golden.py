"""Every recorded net runs in a packed arena whose unwritten places are NaN, and gives what it gives unpacked.

Between the inputs and the net, and behind its outputs, stand layers that copy: so the bottoms and tops of the layers
under test lie in the arena themselves.
"""

import dataclasses

import numpy as np
import pytest
from golden_cases import GOLDEN, load, part

from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.graph.memory import Memory
from layerforge.net.build import build_net
from layerforge.netdef.types import LayerDef, NetState, Phase
from layerforge.schema.read import parse_net


def of_layers(path):
    with np.load(path, allow_pickle=False) as case:
        return str(case["kind"]) == "layer" if "kind" in case.files else "prototxt" in case.files


CASES = sorted(path for folder in ("layers", "forks") for path in (GOLDEN / folder).glob("*.npz") if of_layers(path))


def wrapped(definition, outputs):
    """Copies between inputs and net, and behind the outputs."""
    inputs = [top for layer in definition.layers if layer.type == "Input" for top in layer.tops]
    used = {bottom for layer in definition.layers for bottom in layer.bottoms}
    layers = []
    for layer in definition.layers:
        in_place = any(top in inputs for top in layer.tops) and layer.type != "Input"
        if in_place:
            return definition
        bottoms = tuple(f"copy of {b}" if b in inputs else b for b in layer.bottoms)
        layers.append(dataclasses.replace(layer, bottoms=bottoms))
        if layer.type == "Input":
            layers += [
                LayerDef(f"copy {top}", "Power", (top,), (f"copy of {top}",)) for top in layer.tops if top in used
            ]
    behind = [LayerDef(f"out {top}", "Power", (top,), (f"out of {top}",)) for top in outputs if top not in inputs]
    return dataclasses.replace(definition, layers=(*layers, *behind))


def run(definition, case, packs, engines):
    state = NetState(getattr(Phase, str(case.get("phase", "TRAIN"))))
    net = build_net(definition, state.phase, level=int(case.get("level", 0)), rng=Random(1), keep="outputs",
                    stages=[str(s) for s in case.get("stages", ())], engines=engines)
    net.memory.packs = net.memory.packs and packs
    for name in net.inputs:
        if f"reshape.{name}" in case:
            net.blobs[name].reshape([int(n) for n in case[f"reshape.{name}"]])
    net.reshape()
    for key, value in part(case, "param.").items():
        layer, index = key.rsplit(".", 1)
        net.params[layer][int(index)].data.set(value)
    found = {}
    for k in range(2):
        for blob, value in part(case, "in.").items():
            if blob in net.inputs:
                net.blobs[blob].data.set(value)
        found[f"loss {k}"] = np.float32(net.forward())
        found.update({f"{name} {k}": net.blobs[name].data.array(HOST).copy() for name in net.outputs})
        if "topdiff" in "".join(case) or any(name.startswith(("diff.", "paramdiff.")) for name in case):
            for name in net.outputs:
                if not net.loss_weights[name]:
                    net.blobs[name].diff.set(np.resize(np.float32([0.5, -1, 2]), net.blobs[name].count))
            net.clear_gradients()
            net.backward()
            found.update({f"{each.name} {k}": each.blob.diff.array(HOST).copy() for each in net.learnable})
            found.update({f"gradient of {name} {k}": net.blobs[name].diff.array(HOST).copy() for name in net.inputs})
    net.close()
    return found


@pytest.mark.parametrize("engines", [None, ()], ids=["engine", "layers"])
@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_recorded_net_is_the_same_when_packed(path, engines, monkeypatch, tmp_path):
    monkeypatch.setattr(Memory, "poison", True)
    monkeypatch.chdir(tmp_path)
    case = load(path)
    plain = parse_net(str(case["prototxt"]), "net.prototxt")
    outputs = [str(name) for name in case.get("meta.outputs", ())]
    definition = wrapped(plain, outputs)
    with np.errstate(all="ignore"):
        packed, unpacked = (run(definition, case, packs, engines) for packs in (True, False))
    assert packed.keys() == unpacked.keys()
    for name, want in unpacked.items():
        np.testing.assert_array_equal(packed[name], want, err_msg=name)
