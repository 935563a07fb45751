"""A stand-in for a device whose work is being recorded into a graph: it refuses what cannot be recorded.

A recorded iteration is replayed with the same pointers, so a layer's forward and backward may not allocate, wait for a
value, copy to or from the host, call BLAS outside `ops`, or index with arrays. The stand-in computes with NumPy, and
while it records it raises NotRecordable with what the layer did and what to write instead.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from layerforge.backends import get_backend
from layerforge.layers.base import Layer
from layerforge.testing.harness import Rig

VIEWS = """broadcast_to expand_dims moveaxis rollaxis transpose permute_dims swapaxes squeeze reshape ravel flip fliplr
    flipud atleast_1d atleast_2d atleast_3d split array_split""".split()
INTO_OUT = "take clip sum prod max min amax amin argmax argmin mean any all cumsum cumprod concatenate stack".split()
QUESTIONS = "shape ndim size may_share_memory shares_memory result_type".split()  # answered without looking at a value
RECORDABLE = frozenset((*VIEWS, *INTO_OUT, *QUESTIONS, "copyto"))
# ufuncs that CuPy lacks or gives to BLAS
NOT_ON_DEVICE = frozenset(("matmul", "vecdot", "matvec", "vecmat", "spacing", "isnat"))

DECLARE = "give out=, with memory declared by self.scratch or self.kept in reshape"
FROM_HOST = "write host values in reshape, through the representation"


class NotRecordable(AssertionError):
    """A layer did something that cannot be recorded."""


class Recorder:
    """Whether rules hold at the moment."""

    def __init__(self) -> None:
        self.on = False

    def refuse(self, what: str, instead: str = DECLARE) -> None:
        """Raises NotRecordable while recording."""
        if self.on:
            raise NotRecordable(f"{what}; {instead}")


def is_host_array(value: Any) -> bool:
    """Whether this is an array in the host's memory: the device cannot read it."""
    return isinstance(value, np.ndarray) and not isinstance(value, DeviceArray)


def plain(value: Any) -> Any:
    """The NumPy array behind a device array, also inside lists and tuples."""
    if isinstance(value, DeviceArray):
        return value.view(np.ndarray)
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


class DeviceArray(np.ndarray):
    """An array that behaves like one on a device: what would allocate, wait or copy is refused while recording."""

    recorder: Recorder

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: tuple[Any, ...] = (), **named: Any
    ) -> Any:
        refuse, name = self.recorder.refuse, ufunc.__name__
        if ufunc.__name__ in NOT_ON_DEVICE:
            refuse(f"{name} cannot be recorded", "use ops.matmul")
        if method not in ("__call__", "reduce", "accumulate"):
            refuse(f"{name}.{method} is not there on a device", "use a kernel of ops")
        if not out or any(o is None for o in out):
            refuse(f"{name} makes a new array")
        if named.get("where", True) is not True:
            refuse(f"{name} takes no where= on a device", "use copyto(…, where=) or a mask to multiply with")
        if named.get("initial", np._NoValue) not in (np._NoValue, None):
            refuse(f"{name} takes no initial= on a device", "put the first value in by another step")
        if any(is_host_array(x) for x in (*inputs, *out)):
            refuse(f"{name} mixes host and device arrays", FROM_HOST)
        result = getattr(ufunc, method)(*plain(inputs), **named, **({"out": plain(out)} if out else {}))
        if out:
            return out[0] if len(out) == 1 else out
        return tuple(map(self.wrap, result)) if isinstance(result, tuple) else self.wrap(result)

    def __array_function__(self, function: Any, types: Any, arguments: Any, named: Any) -> Any:
        name = function.__name__
        if name not in RECORDABLE:
            self.recorder.refuse(f"{name} makes a new array or waits for the device")
        if name == "take" and "mode" in named:
            self.recorder.refuse("take has no mode= on a device", "use ops.take_rows")
        if name == "copyto" and any(is_host_array(a) for a in (*arguments, *named.values())):
            self.recorder.refuse("copyto between host and device waits", FROM_HOST)
        if name in INTO_OUT and named.get("out") is None:
            self.recorder.refuse(f"{name} makes a new array")
        return super().__array_function__(function, types, arguments, named)

    def wrap(self, value: Any) -> Any:
        """A result as a device array; also a single number, as CuPy gives it."""
        return np.asarray(value).view(type(self)) if isinstance(value, (np.ndarray, np.generic)) else value

    def same_memory(self, made: Any, name: str) -> Any:
        """What a reshaping gave, which must be a view."""
        if self.size and not np.may_share_memory(plain(self), plain(made)):
            self.recorder.refuse(f"{name} copies an array that does not lie in order", "copyto with transposed views")
        return made

    def reshape(self, *shape: Any, **named: Any) -> Any:
        return self.same_memory(super().reshape(*shape, **named), "reshape")

    def ravel(self, *order: Any, **named: Any) -> Any:
        return self.same_memory(super().ravel(*order, **named), "ravel")

    def _check_index(self, index: Any) -> tuple[Any, ...]:
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(p, (np.ndarray, list)) and np.ndim(p) for p in parts):
            self.recorder.refuse(
                "indexing with an array makes copies", "use ops.take_rows, ops.select or copyto(…, where=)"
            )
        return parts

    def __getitem__(self, index: Any) -> Any:
        parts = self._check_index(index)
        number = all(isinstance(p, (int, np.integer)) for p in parts)
        return super().__getitem__((*parts, Ellipsis) if number else index)  # one number stays an array, as on a device

    def __setitem__(self, index: Any, value: Any) -> None:
        self._check_index(index)
        if is_host_array(value) or isinstance(value, (list, tuple)):
            self.recorder.refuse("writing a host array to the device waits", FROM_HOST)
        super().__setitem__(index, value)


def _refused(name: str, why: str, instead: str = DECLARE) -> Any:
    def method(self: DeviceArray, *arguments: Any, **named: Any) -> Any:
        if named.get("out") is None:
            self.recorder.refuse(f"{name} {why}", instead)
        return getattr(np.ndarray, name)(self, *arguments, **named)

    return method


MAKING = """copy astype flatten argsort sort nonzero repeat choose searchsorted partition argpartition compress dot
    round trace cumsum cumprod argmax argmin take put""".split()
WAITING = """item tolist tobytes __bool__ __int__ __float__ __complex__ __index__ __iter__ __contains__""".split()
for _name in MAKING:
    setattr(DeviceArray, _name, _refused(_name, "makes a new array"))
for _name in WAITING:
    setattr(DeviceArray, _name, _refused(_name, "waits for a value", "keep the value on the device"))


class DeviceModule:
    """NumPy as an array module of the device: what it makes are device arrays."""

    def __init__(self, kind: type[DeviceArray]) -> None:
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        value = getattr(np, name)
        if isinstance(value, type) or not callable(value):
            return value
        recordable = name in RECORDABLE or isinstance(value, np.ufunc)

        def function(*arguments: Any, **named: Any) -> Any:
            given = [x for a in (*arguments, *named.values()) for x in (a if isinstance(a, (list, tuple)) else [a])]
            if not recordable or not any(isinstance(x, DeviceArray) for x in given):
                self._kind.recorder.refuse(f"xp.{name} makes a new array")
            result = value(*arguments, **named)
            return result.view(self._kind) if is_host_array(result) else result

        return function


class DeviceMemory:
    """A representation apart from the host's, so that copies between them are seen."""

    name = "recorded"
    plain = True

    def __init__(self, kind: type[DeviceArray]) -> None:
        self._kind = kind

    def zeros(self, count: int, dtype: np.dtype[Any]) -> np.ndarray:
        self._kind.recorder.refuse("memory was asked for", DECLARE)
        return np.zeros(count, dtype).view(self._kind)

    def to_host(self, source: np.ndarray, target: np.ndarray) -> None:
        self._kind.recorder.refuse("a value was copied to the host", "keep the value on the device")
        np.copyto(target, plain(source))

    def from_host(self, source: np.ndarray, target: np.ndarray) -> None:
        self._kind.recorder.refuse("a value was copied from the host", "write it in reshape")
        np.copyto(plain(target), source)


class DeviceOps:
    """The NumPy backend's kernels, given device arrays: contiguous ones, as the contracts say."""

    ANY_STRIDES = ("matmul",)

    def __init__(self, ops: Any, xp: Any, recorder: Recorder) -> None:
        self._ops, self.xp, self._recorder = ops, xp, recorder

    def __getattr__(self, name: str) -> Any:
        kernel = getattr(self._ops, name)

        def launch(*arguments: Any, **named: Any) -> Any:
            arrays = [a for a in (*arguments, *named.values()) if isinstance(a, np.ndarray)]
            if any(is_host_array(a) for a in arrays):
                self._recorder.refuse(f"ops.{name} was given a host array", "give it arrays of the backend")
            if name not in self.ANY_STRIDES and not all(a.flags.c_contiguous for a in arrays):
                self._recorder.refuse(
                    f"ops.{name} was given an array that does not lie in order", "copyto into scratch first"
                )
            on, self._recorder.on = self._recorder.on, False
            try:
                result = kernel(*map(plain, arguments), **{key: plain(value) for key, value in named.items()})
            finally:
                self._recorder.on = on
            return None if arrays else result  # a device's kernel never answers: that would mean to wait for it

        return launch


class RecordingBackend:
    """The stand-in as a backend; rules hold inside `recording()`."""

    name = "recording"
    device = "cpu"

    def __init__(self) -> None:
        self.recorder = Recorder()
        kind = type("RecordedArray", (DeviceArray,), {"recorder": self.recorder})
        self.xp = DeviceModule(kind)
        self.representation = DeviceMemory(kind)
        self.ops = DeviceOps(get_backend("numpy").ops, self.xp, self.recorder)

    def synchronize(self) -> None:
        self.recorder.refuse("a layer waited for the device", "leave that to the net")

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Refuses what cannot be recorded."""
        self.recorder.on = True
        try:
            yield
        finally:
            self.recorder.on = False


def check_recordable(
    layer: type[Layer],
    case: Mapping[str, Any] | None,
    inputs: Sequence[np.ndarray],
    *,
    backward: bool = True,
    **rig: Any,
) -> None:
    """Runs the layer's forward and backward once freely, once under the rules. `rig` goes to Rig.

    Raises NotRecordable, or AssertionError when the layer says that it cannot be recorded but gives no reason.
    """
    backend = RecordingBackend()
    made = Rig(layer, case, inputs, backend=backend, **rig)
    if not made.layer.captured or layer.arrays == "host":
        assert made.layer.uncaptured_reason or layer.arrays == "host", (
            f"{layer.type}: captured = False needs an uncaptured_reason"
        )
        return
    tops = made.forward()
    if backward:
        made.backward([np.ones_like(y) for y in tops])
    with backend.recording():
        made.step.forward()
        if backward:
            made.step.backward()
