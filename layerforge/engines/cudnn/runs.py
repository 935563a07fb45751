"""Runs: what a step does in turn, with the values of the net that it reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from layerforge.core.blob import Blob
from layerforge.core.storage import Representation, Storage
from layerforge.core.use import Access, Use
from layerforge.engines.cudnn.context import Context, Own
from layerforge.engines.cudnn.graphs import Key
from layerforge.engines.lowering import Kernel


class Part(NamedTuple):
    """A blob's data or diff. The storage behind may become another: parameters are shared after a net is planned."""

    blob: Blob
    name: str

    @property
    def storage(self) -> Storage:
        return getattr(self.blob, self.name)  # type: ignore[no-any-return]


def data_of(blob: Blob) -> Part:
    return Part(blob, "data")


def diff_of(blob: Blob) -> Part:
    return Part(blob, "diff")


class Value(NamedTuple):
    """What is done with a part of a blob, in which layout."""

    part: Part
    representation: Representation
    access: Access

    @property
    def use(self) -> Use:
        return Use(self.part.storage, self.representation, self.access)


Source = Value | Callable[[], Any]
"""A value of the net, or an array that the step, or the context, has."""


def read(part: Part, representation: Representation) -> Value:
    return Value(part, representation, Access.READ)


def write(part: Part, representation: Representation) -> Value:
    return Value(part, representation, Access.WRITE)


def update(part: Part, representation: Representation) -> Value:
    return Value(part, representation, Access.UPDATE)


def add(part: Part, representation: Representation) -> Value:
    return Value(part, representation, Access.ADD)


class Run:
    """work(*arrays) on values and arrays, in the order they are given."""

    def __init__(self, work: Callable[..., None], *sources: Source) -> None:
        self._work, self._sources = work, sources

    def run(self) -> None:
        arrays: list[Any] = [None] * len(self._sources)
        for late in (False, True):  # what is read first: claiming a value would give up its other copies
            for i, source in enumerate(self._sources):
                claims = isinstance(source, Value) and source.access is Access.WRITE
                if claims is late:
                    arrays[i] = self._array(source)
        self._work(*arrays)
        for use in self.uses():
            if use.access in (Access.UPDATE, Access.ADD):
                use.storage.wrote(use.representation)

    @staticmethod
    def _array(source: Source) -> Any:
        if not isinstance(source, Value):
            return source()
        storage, representation, access, _ = source.use
        return storage.claim(representation) if access is Access.WRITE else storage.array(representation)

    def uses(self) -> Sequence[Use]:
        return [source.use for source in self._sources if isinstance(source, Value)]

    def own(self) -> list[Own]:
        """The step's own arrays among the sources."""
        return [source for source in self._sources if isinstance(source, Own)]

    def kernel(self, when: str) -> Kernel | None:
        """For `time --explain`; None for small work beside graphs."""
        return None


class GraphRun(Run):
    """A graph of cuDNN; values by the names in its key."""

    def __init__(self, context: Context, key: Key, values: Mapping[str, Source]) -> None:
        self.key, self._names, self._runner = key, list(values), context.runner
        super().__init__(self._run_graph, *values.values())

    def _run_graph(self, *arrays: Any) -> None:
        self._runner.run(self.key, dict(zip(self._names, arrays)))

    def kernel(self, when: str) -> Kernel:
        layouts = tuple(
            (name, str(getattr(source.representation, "name", "")))
            for name, source in zip(self._names, self._sources) if isinstance(source, Value)
        )
        return Kernel(when, self.key.name, self._runner.plan_name(self.key), layouts)


class KernelRun(Run):
    """A kernel of our own."""

    def __init__(self, name: str, work: Callable[..., None], *sources: Source) -> None:
        super().__init__(work, *sources)
        self._name = name

    def kernel(self, when: str) -> Kernel:
        layouts = tuple((f"{i}", str(getattr(use.representation, "name", ""))) for i, use in enumerate(self.uses()))
        return Kernel(when, self._name, "CUDA C", layouts)
