"""What the zoo's training nets turn over from one layout to another: the data, and the scores at the loss."""

import pytest
from cudnn_nets import net_on_cudnn, nets_of

from layerforge.core.use import Access
from layerforge.netdef.types import Phase

ENDS = {"data", "loss"}


def conversions(net):
    """The blobs whose values, "d NAME" whose gradients, a step reads in a layout that nobody has left them in."""
    parameters = {view.blob.data for layer in net.layers for view in layer.blobs}
    parameters |= {view.blob.diff for layer in net.layers for view in layer.blobs}
    names = {blob.diff: f"d {name}" for name, blob in net.blobs.items()}
    names.update({blob.data: name for name, blob in net.blobs.items()})
    lies, found = {}, []
    uses = [use for step in net.steps for use in step.uses().forward]
    uses += [use for step in reversed(net.steps) for use in step.uses().backward]
    for storage, representation, access, _ in uses:
        if storage in parameters:
            continue
        layouts = lies.setdefault(storage, {net.backend.representation})
        if access is not Access.WRITE and representation not in layouts:
            found.append(names.get(storage, "a step's own"))
            layouts.add(representation)
        if access in (Access.WRITE, Access.UPDATE, Access.ADD):
            lies[storage] = {representation}
    return found


def trained(name, kind="BF16"):
    definition = next(definition for definition, phase in nets_of(name) if phase is Phase.TRAIN)
    return net_on_cudnn(definition, Phase.TRAIN, kind)


SCORES = {
    "resnet50": ["fc1000"],
    "resnet101": ["fc1000"],
    "vgg16": ["fc8"],
    "alexnet": ["fc8"],
    "caffenet": ["fc8"],
    "lenet": ["ip2"],
    "googlenet": ["loss1/classifier", "loss2/classifier", "loss3/classifier"],
}


@pytest.mark.parametrize("kind", ["BF16", "FP32"])
@pytest.mark.parametrize("name", SCORES)
def test_only_the_data_and_the_scores_are_turned_over(name, kind):
    scores = SCORES[name]
    assert conversions(trained(name, kind)) == ["data", *scores, *(f"d {each}" for each in reversed(scores))]


def test_residual_blocks_are_three_steps_forward():
    net = trained("resnet50")
    runs = [tuple(net.layers[i].type for i in step.layers) for step in net.steps if step.engine == "CUDNN"]
    bottleneck = [("Convolution", "BatchNorm", "Scale", "ReLU")] * 2 + [
        ("Convolution", "BatchNorm", "Scale", "Eltwise", "ReLU")]
    ours = [types for types in runs if types != ("Split",)]
    assert ours[0] == bottleneck[0] and ours[1] == ("Pooling",)
    assert [types for types in ours[2:-2] if types != ("Convolution", "BatchNorm", "Scale")] == bottleneck * 16
    assert ours[-2:] == [("Pooling",), ("InnerProduct",)]
