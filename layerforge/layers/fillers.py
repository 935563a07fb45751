"""Fillers: how a learned parameter starts. Drawn on the host, so every backend starts from the same numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from layerforge.core import random
from layerforge.core.errors import NetError, PrototxtError, did_you_mean
from layerforge.core.extensions import load_extensions
from layerforge.layers.draws import Draws
from layerforge.netdef.params import Params, field
from layerforge.netdef.types import Where


class FillerParams(Params):
    """The parameters of a filler; which ones count depends on `type`."""

    type: str = field(str, "constant", doc="constant, gaussian, positive_unitball, uniform, xavier, msra or bilinear")
    value: float = field(float, 0.0, doc="the value (constant)")
    min: float = field(float, 0.0, doc="the lower bound (uniform)")
    max: float = field(float, 1.0, doc="the upper bound (uniform)")
    mean: float = field(float, 0.0, doc="the mean (gaussian)")
    std: float = field(float, 1.0, at_least=0, doc="the standard deviation (gaussian)")
    sparse: int = field(int, -1, doc="about so many values per column are not zero; -1: all (gaussian)")
    variance_norm: str = field(
        str, "FAN_IN", choices=("FAN_IN", "FAN_OUT", "AVERAGE"),
        doc="what n is (xavier, msra): the inputs, the outputs or their mean",
    )


Fill = Callable[[FillerParams, Sequence[int], np.random.Generator], np.ndarray]


def fan(p: FillerParams, shape: Sequence[int]) -> float:
    """n of xavier and msra: fan_in = count / shape[0], fan_out = count / shape[1] (Caffe's definition)."""
    count = math.prod(shape)
    fan_in = count / shape[0] if shape else 1
    fan_out = count / shape[1] if len(shape) > 1 else count
    return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[p.variance_norm]


def constant(p: FillerParams, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """w = value"""
    return np.full(shape, p.value)


def uniform(p: FillerParams, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """w ~ U(min, max)"""
    return _uniform(p, shape).array(rng, shape)


def _uniform(p: FillerParams, shape: Sequence[int]) -> Draws:
    def change(w: np.ndarray) -> None:
        w *= p.max - p.min
        w += p.min

    return Draws(False, change)


def gaussian(p: FillerParams, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """w ~ N(mean, std²); with sparse s, each value is kept with probability s / shape[0]"""
    w = _gaussian(p, shape).array(rng, shape)
    if p.sparse >= 0:
        w *= rng.random(shape, np.float32) < p.sparse / shape[0]
    return w


def _gaussian(p: FillerParams, shape: Sequence[int]) -> Draws:
    def change(w: np.ndarray) -> None:
        w *= p.std
        w += p.mean

    return Draws(True, change)


def positive_unitball(p: FillerParams, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """w ~ U(0, 1), then each w[i] is divided by its sum"""
    w = rng.random(shape).reshape(shape[0], -1)
    return (w / w.sum(axis=1, keepdims=True)).reshape(shape)


def xavier(p: FillerParams, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """w ~ U(-√(3/n), √(3/n))      Source: Glorot and Bengio 2010, as in Caffe's filler.hpp"""
    return _xavier(p, shape).array(rng, shape)


def _xavier(p: FillerParams, shape: Sequence[int]) -> Draws:
    scale = math.sqrt(3 / fan(p, shape))

    def change(w: np.ndarray) -> None:
        w *= 2
        w -= 1
        w *= scale

    return Draws(False, change)


def msra(p: FillerParams, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """w ~ N(0, 2/n)      Source: He et al. 2015"""
    return _msra(p, shape).array(rng, shape)


def _msra(p: FillerParams, shape: Sequence[int]) -> Draws:
    deviation = math.sqrt(2 / fan(p, shape))

    def change(w: np.ndarray) -> None:
        w *= deviation

    return Draws(True, change)


def bilinear(p: FillerParams, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """w[..., y, x] = (1 - |x/f - c|) (1 - |y/f - c|), f = ⌈k/2⌉, c = (2f - 1 - f mod 2) / 2f: upsampling by f"""
    k = shape[-1]
    f = math.ceil(k / 2)
    c = (2 * f - 1 - f % 2) / (2.0 * f)
    line = 1 - np.abs(np.arange(k) / f - c)
    return np.broadcast_to(line[:, None] * line[None, :], shape).copy()


def register(filler: Fill) -> Fill:
    """Adds a filler under the name of its function; usable as a decorator, by plugins.

    Raises NetError when the name is taken by another function.
    """
    known = FILLERS.get(filler.__name__, filler)
    if (known.__module__, known.__qualname__) != (filler.__module__, filler.__qualname__):
        raise NetError(f"the filler {filler.__name__!r} is taken by {known.__module__}")
    FILLERS[filler.__name__] = filler
    return filler


_ALL: tuple[Fill, ...] = (constant, gaussian, positive_unitball, uniform, xavier, msra, bilinear)
FILLERS: dict[str, Fill] = {f.__name__: f for f in _ALL}
_INDEPENDENT = {"uniform": _uniform, "gaussian": _gaussian, "xavier": _xavier, "msra": _msra}


def fill(p: FillerParams, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """The first value of a parameter of this shape, which `check_filler` has accepted."""
    return FILLERS[p.type](p, shape, rng)


class FirstValue:
    """What a parameter starts with, when it is first read.

    repeats  whether any thread may draw it, and again: what a user has written may not be. Later draws are the first
             one's, even if another seed was loaded since
    """

    def __init__(self, p: FillerParams, shape: Sequence[int], stream: random.Stream) -> None:
        self.p, self.shape, self.stream = p, tuple(shape), stream

    @property
    def repeats(self) -> bool:
        return FILLERS[self.p.type] in _ALL

    def __call__(self) -> np.ndarray:
        self.settle()
        return self.draw()

    def pieces(self, size: int) -> Iterator[np.ndarray] | None:
        """The same value, so many numbers at a time; None where it is made as a whole."""
        whole = self.p.type not in _INDEPENDENT or not self.repeats or self.p.sparse >= 0
        if whole:
            return None
        self.settle()
        numbers = _INDEPENDENT[self.p.type](self.p, self.shape)
        return numbers.pieces(self.stream.at(0), math.prod(self.shape), size)

    def draw(self) -> np.ndarray:
        """The value, which nobody may read before `settle`."""
        return fill(self.p, self.shape, self.stream.at(0))

    def settle(self) -> None:
        """From here on the seed of now holds."""
        if self.repeats:
            self.stream = random.Stream(self.stream.key)


def check_filler(p: FillerParams, shape: Sequence[int], owner: str, where: Where | None) -> None:
    """Raises PrototxtError for an unknown filler or a shape it cannot fill, before anything is filled."""
    place = p.where("type") or where
    if p.type not in FILLERS:
        load_extensions()
    if p.type not in FILLERS:
        raise PrototxtError(f"{owner}: there is no filler {p.type!r}", where=place,
                            hint=did_you_mean(p.type, FILLERS) or f"the fillers are {', '.join(FILLERS)}")
    if p.type == "bilinear" and (len(shape) != 4 or shape[2] != shape[3]):
        raise PrototxtError(f"{owner}: the bilinear filler needs square kernels (4 axes), the blob is {tuple(shape)}",
                            where=place)
    if p.type in ("xavier", "msra", "positive_unitball") and not shape:
        raise PrototxtError(f"{owner}: the filler {p.type} needs at least one axis", where=place)
