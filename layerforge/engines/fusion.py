"""Which layers of a net may run as one, whatever engine runs them. Rules of the graph alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from layerforge.engines.step import Rule

Steps = Sequence[Any]
Chooser = Callable[[Steps, int, str], tuple[Rule, int]]
"""From the steps of a net, one's number and keep: the rule for it, and how many layers from it on run as one."""

KEEP_SIGNS = ("Dropout", "ReLU")  # behind a ReLU they leave its gradient what it is


def follows(steps: Sequence[Any], index: int, keep: str = "all") -> bool:
    """Whether the layer works on the only top of the one before, in place if blobs are to be kept, and runs backward if
    that does."""
    before, here = steps[index - 1], steps[index]
    if len(before.tops) != 1 or len(here.bottoms) != 1 or len(here.tops) != 1:
        return False
    blob = before.tops[0].blob
    chained = here.bottoms[0].blob is blob and (keep == "outputs" or here.tops[0].blob is blob)
    return (
        chained
        and here.needed == before.needed
        and (not here.needed or bool(here.propagate_down[0]))
        and not any(before.layer.definition.loss_weight)
        and not pinned(here)
    )


def pinned(step: Any) -> bool:
    """Whether the text wants the layer's own maths."""
    return getattr(step.layer.params, "engine", "DEFAULT") == "CAFFE"


def fusable_relu(steps: Sequence[Any], index: int) -> bool:
    """Whether steps[index] is a ReLU in place whose gradient follows from its output."""
    if index >= len(steps) or steps[index].layer.type != "ReLU" or not follows(steps, index):
        return False
    layer = steps[index].layer
    return layer.slope >= 0 and not layer.limits


def with_relu(rule: Rule) -> Chooser:
    """The rule, for the layer and a ReLU in place behind it."""
    return lambda steps, index, keep: (rule, 2 if fusable_relu(steps, index + 1) else 1)


def alone(rule: Rule) -> Chooser:
    """The rule, for the layer and nothing behind it."""
    return lambda steps, index, keep: (rule, 1)


def norm_length(steps: Sequence[Any], index: int, keep: str) -> int:
    """How many layers from `index` on, which may lie behind another of the same step, are one normalisation.

    BatchNorm, Scale, ReLU, each of which may be missing. Where the first has a top of its own whose gradient is to be
    seen, it runs alone.
    """
    at = index

    def next_is(kind: str) -> bool:
        fits = at < len(steps) and steps[at].layer.type == kind and not pinned(steps[at])
        return fits and (at == index or follows(steps, at, keep))

    if next_is("BatchNorm") and steps[at].layer.params.add_eps_before_sqrt:
        at += 1
    factors = at == index or not steps[index].layer.params.scale_bias
    if factors and next_is("Scale") and scale_of_channels(steps[at].layer, steps[at].bottoms[0].shape):
        at += 1
    first = steps[index] if index < len(steps) else None
    if first and first.needed and keep == "all" and first.bottoms[0].blob.data is not first.tops[0].blob.data:
        return min(at - index, 1)
    plain_relu = at > index and next_is("ReLU") and steps[at].layer.slope == 0 and not steps[at].layer.limits
    if plain_relu and not (steps[at].needed and overwritten(steps, at, KEEP_SIGNS)):
        at += 1
    return at - index


def sum_length(steps: Sequence[Any], index: int, keep: str) -> int:
    """How many layers from the convolution at `index` on end with a sum of its output and another value, and perhaps a
    ReLU; 0 where they do not, and where blobs between are to be kept or gradients are wanted."""
    if steps[index].needed:
        return 0
    at = _sum_behind(steps, index, keep)
    return at and at + 1 + fusable_relu(steps, at + 1) - index


def trained_sum_length(steps: Sequence[Any], index: int, keep: str) -> int:
    """The same where gradients are wanted: convolution, normalisation, sum, perhaps a ReLU, perhaps the Split behind;
    0 without normalisation, and where a bottom of the sum wants no gradient."""
    at = _sum_behind(steps, index, keep)
    if at < index + 2 or not steps[at].needed or not all(steps[at].propagate_down):
        return 0
    end = at + 1
    if fusable_relu(steps, end) and not steps[end].layer.slope and not overwritten(steps, end):
        end += 1
    behind = steps[end] if end < len(steps) else None
    if behind is not None and behind.layer.type == "Split" and behind.needed and all(behind.propagate_down):
        top = steps[end - 1].tops[0].blob
        if behind.bottoms[0].blob is top and all(view.blob.diff is not top.diff for view in behind.tops):
            end += 1
    return end - index


def pooled_length(steps: Sequence[Any], index: int, keep: str) -> int:
    """3 where the layer at `index`, its ReLU and a pooling of the maxima may be trained as one, else 0."""
    if keep == "all" or index + 2 >= len(steps) or not steps[index].needed or not fusable_relu(steps, index + 1):
        return 0
    pool = steps[index + 2].layer
    fits = pool.type == "Pooling" and pool.method == "MAX" and not steps[index + 1].layer.slope
    return 3 if fits and follows(steps, index + 2, keep) and not overwritten(steps, index + 2, KEEP_SIGNS) else 0


def _sum_behind(steps: Sequence[Any], index: int, keep: str) -> int:
    """Where the sum stands that takes the output of the convolution at `index`, normalised or not; 0: nowhere."""
    if keep == "all":
        return 0
    at = index + 1
    if at < len(steps) and follows(steps, at, keep):
        at += norm_length(steps, at, keep)
    if not is_pair(steps, at) or steps[at].needed != steps[index].needed:
        return 0
    return 0 if steps[at - 1].layer.type == "ReLU" else at


def overwritten(steps: Sequence[Any], index: int, harmless: Sequence[str] = ()) -> bool:
    """Whether a layer behind changes the output in place, or a view of it: the gradient then follows what it left, as
    in Caffe. Layers of the harmless types do not where they have the output itself, which nobody else reads then."""
    own = steps[index].tops[0].blob
    return any(
        view.blob.data is own.data
        and not step.layer.shares_data
        and not (view.blob is own and step.layer.type in harmless)
        for step in steps[index + 1 :]
        for view in step.tops
    )


def scale_of_channels(layer: Any, shape: Sequence[int]) -> bool:
    """Whether a Scale has one learned factor per channel."""
    return (
        layer.s is not None
        and len(shape) >= 2
        and layer.s.shape == (shape[1],)
        and tuple(layer.omi[:2]) == tuple(shape[:2])
    )


def added_norm_length(steps: Sequence[Any], index: int, keep: str) -> int:
    """How many layers from the normalisation at `index` on end with a sum of its output and another value, and the ReLU
    behind it; 0 where they do not, and where what lies between is to be kept."""
    if keep == "all" or index >= len(steps) or steps[index].layer.type != "BatchNorm":
        return 0
    at = index + norm_length(steps, index, keep)
    if at == index or steps[at - 1].layer.type == "ReLU" or not is_pair(steps, at):
        return 0
    own, here = steps[at - 1].tops[0].blob, steps[at]
    down = [view.blob is not own or bool(wanted) for view, wanted in zip(here.bottoms, here.propagate_down)]
    if here.needed != steps[index].needed or (here.needed and not all(down)):
        return 0
    relu = fusable_relu(steps, at + 1) and steps[at + 1].layer.slope == 0
    if not relu or (here.needed and overwritten(steps, at + 1, KEEP_SIGNS)):
        return 0
    return at + 2 - index


def is_pair(steps: Sequence[Any], index: int) -> bool:
    """Whether steps[index] adds the output of the step before to one other value of its shape, into a third blob."""
    own, here = steps[index - 1].tops[0].blob, steps[index] if index < len(steps) else None
    if here is None or here.layer.type != "Eltwise" or here.layer.params.operation != "SUM":
        return False
    if pinned(here) or any(steps[index - 1].layer.definition.loss_weight):
        return False
    blobs = [view.blob for view in here.bottoms]
    pair = len(blobs) == 2 and sum(blob is own for blob in blobs) == 1 and tuple(here.layer.coeff) == (1.0, 1.0)
    return pair and all(blob.shape == own.shape for blob in blobs) and here.tops[0].blob not in blobs
