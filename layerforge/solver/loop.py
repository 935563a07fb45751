"""Solver: forward, backward, update, test, snapshot, until max_iter."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from layerforge.backends import get_backend
from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.net.build import build_net
from layerforge.net.footprint import check_fits
from layerforge.net.net import Net
from layerforge.net.passes import Passes
from layerforge.netdef.types import SolverDef
from layerforge.schema.write import solver_text
from layerforge.solver import snapshot as snapshots
from layerforge.solver.debug import backward_with_info, forward_with_info, not_finite, spoilt_parameter
from layerforge.solver.fine_tuning import take_weights
from layerforge.solver.interrupt import Request
from layerforge.solver.iterations import Iterations
from layerforge.solver.loss_scale import LossScale
from layerforge.solver.nets import (
    build_test_net,
    build_train_net,
    computing_in,
    test_sources,
    train_source,
    weights_files,
)
from layerforge.solver.observer import Observer, Report, TestReport, outputs, outputs_of
from layerforge.solver.params import SolverParams
from layerforge.solver.plugins import load_plugins
from layerforge.solver.rules import Rule
from layerforge.solver.run_state import run_state
from layerforge.solver.updater import Updater


class Solver:
    """A training run of one train net and its test nets, which use the train net's parameters.

    params      the typed fields of the text
    net, test_nets
    iter        how often the parameters were updated
    allow_nan   goes on when the loss is NaN or infinite
    requests    asked after each iteration and test batch; gives a Request
    stopped     whether a request ended the run early
    """

    def __init__(
        self,
        definition: SolverDef,
        *,
        backend: Any = None,
        engines: Sequence[Any] | None = None,
        rng: Random | None = None,
        dtype: Any = np.float32,
        keep: str = "all",
        level: int = 0,
        stages: Sequence[str] = (),
        weights: Sequence[str] | None = None,
        observer: Observer | None = None,
        allow_nan: bool = False,
        compute_type: str = "",
    ) -> None:
        """level, stages  what the command line adds to the train net's state
        weights  given instead of the text's; (): none
        compute_type  wins over what the texts of solver and nets say
        rng      used where the text has no random_seed; None: a seed from the system
        """
        self.observer = observer or Observer()
        self.observer.on_message(f"Initializing solver from parameters: \n{solver_text(definition)}", "solver.cpp:45")
        self.params = params = SolverParams.from_definition(definition)
        self.file, self.allow_nan = definition.file, allow_nan
        load_plugins(params.plugins, os.path.dirname(self.file), params.where("plugins"))
        self.requests: Callable[[], Request] = lambda: Request.NONE
        self.rng = Random(params.random_seed) if params.random_seed >= 0 else rng or Random()
        self.prefix = snapshots.Prefix(params, self.file)
        if params.snapshot:
            self.prefix.check()
        keep = "all" if params.debug_info else keep  # which shows every blob
        self._build_nets(compute_type, level, stages, backend=backend or get_backend(), engines=engines, dtype=dtype,
                         keep=keep)
        files = weights_files(params.weights if weights is None else weights, self.file, params.where("weights"))
        take_weights(files, (self.net, *self.test_nets), self.observer.on_message)
        self.loss_scale = LossScale(self.net.definition.compute_type, params.loss_scale)
        self.updater = Updater(self.net, params, self.loss_scale)
        if self.loss_scale.active:
            self.net.scale_losses(self.loss_scale.value)
        self.updater.set_early(True)
        check_fits(self.net, self.updater.history, beside=self.test_nets)
        self.passes, self.test_passes = Passes(self.net), [Passes(net) for net in self.test_nets]
        self.iterations: Iterations | None = None
        self.iter, self.stopped = 0, False
        self.losses: deque[float] = deque(maxlen=params.average_loss)
        self.callbacks: list[tuple[Callable[[], None], Callable[[], None]]] = []
        if hasattr(self.net.backend, "recorder"):
            self.iterations = Iterations(self)
        self._saved = -1, ""  # the iteration of the last snapshot, and its state file
        self._test_start: dict[str, Any] | None = None  # what a snapshot keeps while a test is under way
        self._shown_at, self._shown_iter = time.monotonic(), 0
        if params.random_seed < 0:
            self.observer.on_message(f"The random seed is {self.rng.seed}", "solver.cpp:57")
        self.observer.on_message("Solver scaffolding done.", "solver.cpp:57")

    @property
    def rule(self) -> Rule:
        """The update rule; its `name` is the solver's type."""
        return self.updater.rule

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return self.updater.rate(self.iter)

    def add_callback(self, on_start: Callable[[], None], on_gradients_ready: Callable[[], None]) -> None:
        """Functions to call before each iteration's forward, and before each update."""
        self.callbacks.append((on_start, on_gradients_ready))
        self.updater.set_early(False)

    def solve(self, resume: str | None = None) -> None:
        """Trains until max_iter or a request to stop; `resume` names a solver state to go on from."""
        params = self.params
        if params.snapshot_after_train:
            self.prefix.check()
        self.observer.on_message(f"Solving {self.net.name}", "solver.cpp:289")
        self.observer.on_message(f"Learning Rate Policy: {params.lr_policy}", "solver.cpp:290")
        if resume:
            self.observer.on_message(f"Restoring previous solver status from {resume}", "solver.cpp:296")
            self.restore(resume)
        self.observer.on_start(self)
        self.step(params.max_iter - self.iter)
        if self.stopped:
            self._stop_early()
            return
        if params.snapshot_after_train and not self._snapshot_due():
            self.snapshot()
        loss = self._last_look() if params.display and self.iter % params.display == 0 else None
        if params.test_interval and self.iter % params.test_interval == 0:
            self.test_all()
        self.observer.on_finish(self.iter, loss)

    def step(self, iterations: int) -> None:
        """Runs so many iterations, or fewer if a request stops the run."""
        self._shown_at, self._shown_iter = time.monotonic(), self.iter
        self.stopped, self._test_start = False, None
        end = self.iter + iterations
        try:
            while self.iter < end and self._iterate():
                pass
        finally:
            self.settle()

    def settle(self) -> None:
        """Reads and reports what iterations have left on a device; elsewhere there is nothing to do."""
        if self.iterations is not None:
            self.iterations.settle()

    def apply_update(self) -> None:
        """Moves the parameters along the gradients that stand in them; counts as one iteration."""
        self.updater.apply(self.iter, self.smoothed_loss, self.observer.on_message)
        self.iter += 1

    def backward_and_update(self) -> None:
        """Backward, in which each parameter moves as soon as its gradient is complete; counts as one iteration."""
        self.updater.backward(self.iter, self.smoothed_loss, self.observer.on_message)
        self.iter += 1

    @property
    def smoothed_loss(self) -> float:
        """Mean loss over the last average_loss iterations."""
        return sum(self.losses) / len(self.losses) if self.losses else math.nan

    def test_all(self) -> None:
        """Tests every test net."""
        self.settle()
        if self.test_nets:
            self._test_start = run_state(self)
        for index in range(len(self.test_nets)):
            if self.stopped:
                return
            self.test(index)
        if not self.stopped:
            self._test_start = None

    def test(self, index: int) -> TestReport | None:
        """Means of the outputs of one test net over its test_iter batches; None if a request stopped it."""
        net, batches, begin = self.test_nets[index], self.params.test_iter[index], time.monotonic()
        self.observer.on_test_start(self.iter, index)
        sums = {name: np.zeros(net.blobs[name].count) for name in net.outputs}
        loss = 0.0
        for _ in range(batches):
            if self._answer() is Request.STOP:
                self.observer.on_message("Test interrupted.", "solver.cpp:401")
                return None
            say = self.observer.on_message
            loss += forward_with_info(net, say) if self.params.debug_info else self.test_passes[index].forward()
            for name in sums:
                sums[name] = sums[name] + net.blobs[name].data.array(HOST)
        means = tuple(outputs({name: total / batches for name, total in sums.items()}, net.loss_weights))
        mean_loss = loss / batches if self.params.test_compute_loss else None
        report = TestReport(self.iter, index, means, mean_loss, time.monotonic() - begin)
        self.observer.on_test(report)
        return report

    def snapshot(self) -> str:
        """Saves weights, then the state, which is the commit; returns the state's path.

        Raises NetError for parameters that are not finite, unless that is allowed: older files stay the last word.
        """
        self.settle()
        self._check_parameters()
        self._saved = self.iter, snapshots.save(self, self._test_start or run_state(self))
        return self._saved[1]

    def restore(self, path: str) -> None:
        """Goes on from a solver state, ours exactly, Caffe's as Caffe does."""
        self.settle()
        snapshots.restore(self, path)
        self._saved, self._test_start = (-1, ""), None

    def close(self) -> None:
        """Ends the nets' data workers."""
        for net in (self.net, *self.test_nets):
            net.close()

    def _build_nets(self, compute_type: str, level: int, stages: Sequence[str], **how: Any) -> None:
        params, say = self.params, self.observer.on_message
        where = params.where("compute_type") if params.has("compute_type") else None
        build = partial(build_net, compute_type=params.compute_type, type_where=where, **how)
        source = computing_in(compute_type, train_source(params, self.file))
        params.check_loss_scale(source.definition.compute_type or params.compute_type)
        say(f"Creating training net from {source}", "solver.cpp:102")
        rng = self.rng.child("train")
        self.net: Net = build_train_net(source, params, build, level=level, stages=stages, rng=rng)
        self.test_nets: list[Net] = []
        for i, given in enumerate(test_sources(params, self.file)):
            each = computing_in(compute_type, given)
            say(f"Creating test net (#{i}) specified by {each}", "solver.cpp:190")
            rng = self.rng.child(f"test{i}")
            forward_only = {} if how["keep"] == "all" else {"backward": False}
            self.test_nets.append(build_test_net(each, i, params, self.net, build, rng=rng, **forward_only))

    def _iterate(self) -> bool:
        """One iteration; False if a request ended the run."""
        params = self.params
        self.net.clear_gradients()
        if params.test_interval and self.iter % params.test_interval == 0 and (self.iter or params.test_initialization):
            self.test_all()
            if self.stopped:
                return False
        for on_start, _ in self.callbacks:
            on_start()
        display = bool(params.display) and self.iter % params.display == 0
        debug = display and params.debug_info
        if display:
            self.settle()
            self._check_parameters()
        if self.iterations is not None and self.iterations.takes(debug):
            self.iterations.run(display)
        elif self.updater.early:
            self.take_loss(self.passes.forward(), display, self.lr)
            self.backward_and_update()
        else:
            self.settle()
            self.take_loss(self._accumulate(debug), display, self.lr)
            for _, on_gradients_ready in self.callbacks:
                on_gradients_ready()
            self.apply_update()
        if self._snapshot_due():
            self.snapshot()
        return self._answer() is not Request.STOP

    def take_overflow(self, overflowed: bool) -> None:
        """What an iteration that the device has judged means for the loss scale, which it has moved itself."""
        if not self.loss_scale.active:
            return
        self.loss_scale.advance(overflowed)
        if overflowed:
            self.observer.on_message(self.loss_scale.said(), "sgd_solver.cpp:99")

    def take_loss(self, loss: float, display: bool, lr: float) -> None:
        """What an iteration's loss leads to: an error if it is not finite, else a report."""
        if not self.allow_nan and not math.isfinite(loss):
            raise not_finite(self.net, self.iter, loss)
        self.losses.append(loss)
        self._report(loss, display, lr)

    def _check_parameters(self) -> None:
        spoilt = None if self.allow_nan else spoilt_parameter(self.net, self.iter)
        if spoilt is not None:
            raise spoilt

    def _accumulate(self, debug: bool) -> float:
        """Gradients of iter_size batches, added up; the mean loss."""
        loss, say = 0.0, self.observer.on_message
        for _ in range(self.params.iter_size):
            if debug:
                loss += forward_with_info(self.net, say)
                backward_with_info(self.net, say)
            else:
                loss += self.passes.forward_backward()
        return loss / self.params.iter_size

    def _report(self, loss: float, display: bool, lr: float) -> None:
        now = time.monotonic()
        shown = tuple(outputs_of(self.net)) if display else ()
        self.observer.on_iteration(Report(
            self.iter, self.params.max_iter, self.smoothed_loss, loss, lr, display, self.params.display, shown,
            seconds=now - self._shown_at, iterations=self.iter - self._shown_iter,
        ))
        if display:
            self._shown_at, self._shown_iter = now, self.iter

    def _snapshot_due(self) -> bool:
        """Whether this iteration ends with a snapshot of itself."""
        return bool(self.params.snapshot) and self.iter % self.params.snapshot == 0

    def _answer(self) -> Request:
        """Does what was asked for meanwhile."""
        request = self.requests()
        if request is Request.SNAPSHOT:
            self._save_once()
        if request is Request.STOP:
            self.stopped = True
        return request

    def _save_once(self) -> str:
        """The state file of this iteration, written unless it was."""
        return self._saved[1] if self._saved[0] == self.iter else self.snapshot()

    def _stop_early(self) -> None:
        """Saves what there is, and says how to go on."""
        path = self._save_once()
        self._test_start = None
        self.observer.on_message("Optimization stopped early.", "solver.cpp:311")
        command = f"layerforge train --solver {self.file or 'SOLVER'} --snapshot {path}"
        self.observer.on_message(f"To go on: {command}", "solver.cpp:311")

    def _last_look(self) -> float:
        """The displayed loss with one more batch, whose gradient nobody asks for."""
        self.losses.append(self.net.forward())
        self.observer.on_message(f"Iteration {self.iter}, loss = {self.smoothed_loss:g}", "solver.cpp:327")
        return self.smoothed_loss
