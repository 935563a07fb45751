"""Snapshots: the weights first, the state last. A state that is there is whole, and so are the weights it names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from layerforge.core.errors import DataError
from layerforge.core.storage import HOST
from layerforge.io.state import read_state, write_state
from layerforge.io.weights import load_weights, save_weights
from layerforge.schema.state import SolverState
from layerforge.solver.params import SolverParams
from layerforge.solver.policies import make_policy
from layerforge.solver.run_state import load_run_state, weights_digest
from layerforge.solver.values import decode, encode

if TYPE_CHECKING:
    from layerforge.solver.loop import Solver

ENDINGS = {"BINARYPROTO": (".caffemodel", ".solverstate"), "HDF5": (".caffemodel.h5", ".solverstate.h5")}


class Prefix:
    """Where snapshots go.

    given    snapshot_prefix with Caffe's defaults: the solver file without its extension, and that name within a folder
    folder   put before `given`: "" for the working folder, or that of the solver file, where only that one has what
             `given` names as its folder
    """

    def __init__(self, params: SolverParams, file: str) -> None:
        stem, beside = os.path.splitext(file)[0] or "solver", os.path.dirname(file)
        self.given = params.snapshot_prefix or stem
        self.where = params.where("snapshot_prefix")
        if params.snapshot_prefix and any(os.path.isdir(os.path.join(f, self.given)) for f in ("", beside)):
            self.given = os.path.join(self.given, os.path.basename(stem))
        head = os.path.dirname(self.given)
        self.folder = "" if os.path.isdir(head or ".") or not os.path.isdir(os.path.join(beside, head)) else beside

    def names(self, iteration: int, file_format: str) -> tuple[str, str]:
        """The names of the weights and the state file of an iteration, as the prefix gives them."""
        weights, state = ENDINGS[file_format]
        return f"{self.given}_iter_{iteration}{weights}", f"{self.given}_iter_{iteration}{state}"

    def path(self, name: str) -> str:
        """Where a file of this name lies."""
        return os.path.join(self.folder, name)

    def check(self) -> None:
        """Raises DataError when nothing can be saved there."""
        folder = os.path.dirname(self.path(self.given)) or "."
        if not os.path.isdir(folder):
            raise DataError(f"solver: snapshot_prefix: {self.given!r}: there is no folder {os.path.abspath(folder)!r}",
                            where=self.where, hint="make the folder, or name another")
        if not os.access(folder, os.W_OK):
            raise DataError(f"solver: snapshot_prefix: {self.given!r}: {os.path.abspath(folder)!r} cannot be written",
                            where=self.where, hint="name another folder")


def save(solver: Solver, run: dict[str, Any]) -> str:
    """Writes the weights, then the state with `run` inside; returns the state's path.

    Each file appears whole or not at all. Until the state is there, the last snapshot before is the one to go on from.

    Raises DataError when a file cannot be written.
    """
    params, updater = solver.params, solver.updater
    weights, state = solver.prefix.names(solver.iter, params.snapshot_format)
    solver.observer.on_snapshot(solver.prefix.path(weights), "weights", params.snapshot_format)
    save_weights(solver.net, solver.prefix.path(weights), diffs=params.snapshot_diff)
    shapes = [each.blob.shape for each in solver.net.learnable]
    history = [h.array(HOST).reshape(shapes[i % len(shapes)]) for i, h in enumerate(updater.history)]
    run = {**run, "weights": weights_digest(solver.net)}
    memory = updater.policy.state()
    saved = SolverState(
        solver.iter, weights, history, updater.policy.current_step, memory.get("lowest"), memory.get("since"),
        {name: encode(value) for name, value in run.items()},
    )
    solver.observer.on_snapshot(solver.prefix.path(state), "state", params.snapshot_format)
    write_state(solver.prefix.path(state), saved)
    return solver.prefix.path(state)


def restore(solver: Solver, path: str) -> None:
    """Goes on from a state file of either format; a state without our part resumes as Caffe does, and says so.

    Raises DataError when a file is missing or damaged, or belongs to another net or solver type.
    """
    state = read_state(path)
    _check_history(solver, state, path)
    run = None if state.extra is None else {name: decode(value) for name, value in state.extra.items()}
    say = solver.observer.on_message
    if state.learned_net:
        load_weights(solver.net, learned_net(state.learned_net, path))
    else:
        say(f"{path} names no weights: the parameters stay as they are")
    say(f"{solver.params.type}Solver: restoring history", "sgd_solver.cpp:336")
    for storage, values in zip(solver.updater.history, state.history):
        storage.set(values)
    solver.iter = state.iter
    solver.updater.policy = policy = make_policy(solver.params)
    policy.current_step = state.current_step
    solver.losses.clear()
    if run is None:
        policy.load_state({"lowest": state.minimum_loss, "since": state.iter_last_event or 0})
        say(f"{path} says nothing of data positions and random numbers: data starts from its beginning, as in Caffe")
        return
    if run.get("weights") != weights_digest(solver.net):
        say(f"The weights in {state.learned_net} are not those that {path} was saved with: the run will differ")
    load_run_state(solver, run, say)


def learned_net(name: str, state: str) -> str:
    """The weights file that a state names: from the working folder, from the state's folder, or beside the state.

    Raises DataError with every path that was tried.
    """
    folder = os.path.dirname(state)
    tried = [name, os.path.join(folder, name), os.path.join(folder, os.path.basename(name))]
    for path in tried:
        if os.path.exists(path):
            return path
    places = ", ".join(repr(os.path.abspath(path)) for path in dict.fromkeys(tried))
    raise DataError(f"{state}: its weights {name!r} are missing: there is none of {places}",
                    hint="put the weights file beside the state")


def _check_history(solver: Solver, state: SolverState, path: str) -> None:
    mine = solver.updater.history
    if len(state.history) != len(mine):
        kind = solver.params.type
        raise DataError(f"{path} holds {len(state.history)} history arrays, this net with {kind} has {len(mine)}",
                        hint="the state belongs to another net or solver type; --weights takes over the weights alone")
    count = len(solver.net.learnable)
    for i, (values, storage) in enumerate(zip(state.history, mine)):
        if values.size != storage.count:
            each = solver.net.learnable[i % count]
            raise DataError(f"{path}: the history of {each.name} has the shape {values.shape}, "
                            f"the parameter {each.blob.shape}", hint="the state belongs to another net")
