"""Examines a layer of the user's: the gradient checker and what every layer must keep, with a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from layerforge.core.errors import LayerError, LayerForgeError
from layerforge.layers.base import Layer
from layerforge.layers.python_layer import VERBS, Python
from layerforge.layers.registry import plugins
from layerforge.netdef.types import Phase
from layerforge.testing.gradient import check_gradient
from layerforge.testing.harness import Rig

Shape = tuple[int, ...]
SHAPES: tuple[Shape, ...] = ((2, 3, 4, 5), (2, 3, 8, 8), (4, 3), (3,), (2, 3, 4))
"""What is tried as the shape of the bottoms when nobody says it."""
MOST_BOTTOMS = 3


@dataclass
class Verdict:
    """What was found about one layer. `problems` and `notes` are sentences; none of the first: it is right."""

    name: str
    shapes: Sequence[Shape] = ()
    checks: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        made_of = f", bottoms {' '.join(map(str, self.shapes))}" if self.shapes else ""
        head = f"{self.name}: {'FAILED' if self.problems else 'ok'} ({self.checks} checks{made_of})"
        return "\n".join([head, *(f"  {each}" for each in (*self.problems, *self.notes))])


@dataclass(frozen=True)
class Subject:
    """A layer with values for everything it needs."""

    layer: type[Layer]
    case: Mapping[str, Any]
    inputs: Sequence[np.ndarray]
    tops: int

    def rig(self, dtype: Any = np.float64, inputs: Sequence[np.ndarray] | None = None) -> Rig:
        """A fresh layer with these values; parameters are random, the same every time."""
        made = Rig(self.layer, self.case, self.inputs if inputs is None else inputs, tops=self.tops, dtype=dtype,
                   phase=Phase.TRAIN)
        rng = np.random.default_rng(11)
        for i, p in enumerate(made.parameters()):
            if i not in made.layer.fixed:
                p[...] = rng.standard_normal(p.shape) * 0.5
        return made


def layers_of(module: ModuleType) -> Iterator[tuple[str, type[Layer], Mapping[str, Any]]]:
    """(name, class, parameters) of all layers in a file: its types, and its classes for the type Python."""
    for member in list(vars(module).values()):
        if not isinstance(member, type) or member.__module__ != module.__name__:
            continue
        if issubclass(member, Layer):
            if plugins().get(member.type) is member:
                yield member.type, member, {}
        elif all(callable(getattr(member, verb, None)) for verb in VERBS) or (
                getattr(member, "differentiate", False) and callable(getattr(member, "forward", None))):
            yield member.__name__, Python, {"module": module.__file__, "layer": member.__name__}


def examine(name: str, layer: type[Layer], case: Mapping[str, Any], shapes: Sequence[Shape] = ()) -> Verdict:
    """Tries every check on a layer.

    case    its parameters, flat
    shapes  of its bottoms; (): shapes are tried until the layer takes them
    """
    verdict = Verdict(name)
    try:
        subject = _subject(layer, case, shapes)
    except Exception as error:
        verdict.problems.append(f"it cannot be set up: {_said(error)}")
        verdict.notes.append("hint: --shapes 2x3,2 says what its bottoms are, --param_str and --params what it needs")
        return verdict
    verdict.shapes = [x.shape for x in subject.inputs]
    for check in CHECKS:
        verdict.checks += 1
        try:
            note = check(subject)
        except Exception as error:
            verdict.problems.append(f"{(check.__doc__ or '').rstrip('.')}: {_said(error)}")
        else:
            verdict.notes += [note] if note else []
    return verdict


def _said(error: BaseException) -> str:
    ours = isinstance(error, (AssertionError, LayerForgeError))
    text = " ".join(str(error).split())
    return text if ours and text else f"{type(error).__name__}: {text}"


def _subject(layer: type[Layer], case: Mapping[str, Any], shapes: Sequence[Shape]) -> Subject:
    """Bottoms that the layer takes, tops as many as it needs.

    Raises what the layer raises for the last try.
    """
    least = layer.bottoms if isinstance(layer.bottoms, int) else layer.bottoms[0]
    most = least if isinstance(layer.bottoms, int) else min(layer.bottoms[1] or MOST_BOTTOMS, MOST_BOTTOMS)
    tries = [shapes] if shapes else [[shape] * n for n in range(max(least, 1), most + 1) for shape in SHAPES]
    failure: Exception = LayerError(f"{layer.type} has no bottoms, there is nothing to check")
    for given in tries if most or shapes else []:
        for tops in _tops(layer, len(given)):
            subject = Subject(layer, case, [_values(layer, i, shape) for i, shape in enumerate(given)], tops)
            try:
                subject.rig().forward()
                return subject
            except Exception as error:
                failure = error
    raise failure


def _tops(layer: type[Layer], bottoms: int) -> Sequence[int]:
    if layer.paired:
        return [bottoms]
    least = layer.tops if isinstance(layer.tops, int) else layer.tops[0]
    return [least] if least else [1, 2]


def _values(layer: type[Layer], index: int, shape: Shape) -> np.ndarray:
    """Random numbers; for a bottom that never gets a gradient small whole ones, as labels are."""
    rng = np.random.default_rng(7 + index)
    return rng.integers(0, 2, shape).astype(float) if index in layer.no_gradient else rng.standard_normal(shape)


def _weights(tops: Sequence[np.ndarray]) -> list[np.ndarray]:
    rng = np.random.default_rng(13)
    return [np.asarray(rng.standard_normal(y.shape)) for y in tops]


def check_forward(subject: Subject) -> None:
    """Forward gives finite numbers and leaves its bottoms alone."""
    rig = subject.rig()
    for i, y in enumerate(rig.forward()):
        assert np.isfinite(y).all(), f"top[{i}] has values that are not finite"
    for i, (blob, x) in enumerate(zip(rig.bottoms, subject.inputs)):
        assert (blob.data.array().reshape(x.shape) == x).all(), f"forward changes bottom[{i}]"


def check_repeats(subject: Subject) -> None:
    """Forward gives the same numbers after another reshape."""
    first, again = subject.rig(), subject.rig()
    again.step.reshape()
    for i, (y, same) in enumerate(zip(first.forward(), again.forward())):
        np.testing.assert_array_equal(same, y, f"top[{i}]")


def check_precision(subject: Subject) -> None:
    """Forward in float32 agrees with float64."""
    for i, (single, double) in enumerate(zip(subject.rig(np.float32).forward(), subject.rig().forward())):
        assert single.dtype == np.float32, f"top[{i}] is {single.dtype}"
        bound = 1e-4 * max(1.0, float(np.abs(double).max(initial=0)))
        np.testing.assert_allclose(single, double, rtol=1e-3, atol=bound, err_msg=f"top[{i}]")


def check_batch(subject: Subject) -> None:
    """Forward follows another batch size and comes back."""
    rig = subject.rig()
    first = rig.forward()
    rig.forward([np.concatenate([x, x]) if x.ndim else x for x in subject.inputs])
    for i, (y, same) in enumerate(zip(first, rig.forward(subject.inputs))):
        np.testing.assert_allclose(same, y, rtol=1e-9, atol=1e-12, err_msg=f"top[{i}]")


def check_differences(subject: Subject) -> str | None:
    """Backward agrees with differences of forward."""
    if not _has_backward(subject):
        return "it has no backward: no gradient goes through it"
    check_gradient(subject.layer, subject.case, subject.inputs, tops=subject.tops)
    return None


def check_propagate_down(subject: Subject) -> None:
    """Backward leaves a bottom's gradient alone where propagate_down is false."""
    if not _has_backward(subject):
        return
    rig = subject.rig()
    weights = _weights(rig.forward())
    for blob in rig.bottoms:
        blob.diff.set(np.full(blob.shape, 77.0))
    for i, dx in enumerate(rig.backward(weights, [False] * len(rig.bottoms))):
        assert (dx == 77).all(), f"the gradient of bottom[{i}] is written"


def check_accumulation(subject: Subject) -> None:
    """Backward adds to the gradients of parameters."""
    if not subject.rig().layer.blobs or not _has_backward(subject):
        return
    rig = subject.rig()
    weights = _weights(rig.forward())
    rig.backward(weights)
    once = rig.gradients()
    rig.step.backward()
    for i, (twice, dw) in enumerate(zip(rig.gradients(), once)):
        if i not in rig.layer.fixed:
            np.testing.assert_allclose(twice, 2 * dw, rtol=1e-6, atol=1e-9, err_msg=f"blobs[{i}]")


CHECKS: tuple[Callable[[Subject], str | None], ...] = (
    check_forward, check_repeats, check_precision, check_batch, check_differences, check_propagate_down,
    check_accumulation,
)


def _has_backward(subject: Subject) -> bool:
    rig = subject.rig()
    try:
        rig.backward(_weights(rig.forward()))
    except LayerError as error:
        if "has no gradient" in str(error):
            return False
        raise
    return True
