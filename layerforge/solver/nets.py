"""The train net and the test nets that a solver text names."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from layerforge.core.errors import PrototxtError
from layerforge.core.files import find_path
from layerforge.net.net import Net
from layerforge.net.share import share_parameters_with
from layerforge.netdef.types import NetDef, Phase
from layerforge.schema.read import read_net
from layerforge.solver.params import NetStateParams, SolverParams

Build = Callable[..., Net]
"""build_net with backend, engines, dtype and keep filled in."""

TRAIN_FIELDS = ("net", "net_param", "train_net", "train_net_param")


class Source(NamedTuple):
    """Where one net comes from: the field, and the file it names ("" for a net inside the solver)."""

    field: str
    file: str
    definition: NetDef

    def __str__(self) -> str:
        return f"{self.field.replace('net', 'net file', 1)}: {self.file}" if self.file else self.field


def train_source(params: SolverParams, file: str, read: Callable[[str], NetDef] = read_net) -> Source:
    """The one train net.

    Raises PrototxtError when none or several are given; DataError for a missing file.
    """
    given = [name for name in TRAIN_FIELDS if params.has(name)]
    if len(given) != 1:
        what = f"names {len(given)} train nets ({', '.join(given)})" if given else "names no train net"
        raise PrototxtError(f"solver: {what}, must be one", where=params.where(given[-1] if given else ""),
                            hint=f"give exactly one of {', '.join(TRAIN_FIELDS)}")
    return _source(params, given[0], getattr(params, given[0]), file, read)


def test_sources(params: SolverParams, file: str, read: Callable[[str], NetDef] = read_net) -> list[Source]:
    """The test nets, in Caffe's order: test_net_param, test_net, then the common net once per test_iter left over.

    Raises PrototxtError when test_iter, test_state or test_interval do not fit them.
    """
    own = [_source(params, "test_net_param", each, file, read) for each in params.test_net_param]
    own += [_source(params, "test_net", each, file, read) for each in params.test_net]
    common = next((name for name in ("net_param", "net") if params.has(name)), None)
    count = len(params.test_iter)
    if count < len(own) or (common is None and count != len(own)):
        raise PrototxtError(f"solver: test_iter is given {count} times for {len(own)} test nets",
                            where=params.where("test_iter"), hint="give test_iter once per test net")
    if common and count > len(own):
        own += [_source(params, common, getattr(params, common), file, read)] * (count - len(own))
    if params.test_state and len(params.test_state) != len(own):
        raise PrototxtError(f"solver: test_state is given {len(params.test_state)} times for {len(own)} test nets",
                            where=params.where("test_state"), hint="give test_state once per test net, or leave it out")
    if own and not params.test_interval:
        doc = params.specs()["test_interval"].doc
        raise PrototxtError(f"solver: there are {len(own)} test nets, but no test_interval",
                            where=params.where("test_iter"), hint=f"test_interval is {doc}")
    return own


test_sources.__test__ = False  # type: ignore[attr-defined]


def computing_in(compute_type: str, source: Source) -> Source:
    """The net with this compute_type in place of what its text says; "": as it is."""
    kind = compute_type or source.definition.compute_type
    return source._replace(definition=replace(source.definition, compute_type=kind))


def build_train_net(
    source: Source, params: SolverParams, build: Build, *, level: int, stages: Sequence[str], **more: Any
) -> Net:
    """The train net in the state that train_state and the command line give it."""
    state = params.train_state
    return _build(source, state, Phase.TRAIN, build, level=level or state.level, stages=(*state.stage, *stages), **more)


def build_test_net(source: Source, index: int, params: SolverParams, train: Net, build: Build, **more: Any) -> Net:
    """Test net number `index`, with the parameters of the train net where both have a layer of that name."""
    state = params.test_state[index] if params.test_state else NetStateParams()
    net = _build(source, state, Phase.TEST, build, level=state.level, stages=state.stage, **more)
    share_parameters_with(net, train)
    return net


def weights_files(given: Sequence[str], file: str, where: object = None) -> list[str]:
    """The paths of `weights` fields or flags, each of which may name several with commas between.

    Raises DataError for a missing file.
    """
    names = [name.strip() for each in given for name in each.split(",")]
    return [find_path(name, os.path.dirname(file), what="weights file", where=where) for name in names if name]


def _source(params: SolverParams, field: str, value: Any, file: str, read: Callable[[str], NetDef]) -> Source:
    if isinstance(value, NetDef):
        return Source(field, "", value)
    path = find_path(value, os.path.dirname(file), what="net", where=params.where(field))
    return Source(field, path, read(path))


def _build(source: Source, state: NetStateParams, phase: Phase, build: Build, **more: Any) -> Net:
    return build(source.definition, Phase[state.phase] if state.phase else phase, **more)
