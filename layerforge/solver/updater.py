"""Updater: clip, average, regularise, apply the rule; owns the histories and the learning-rate policy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from layerforge.core.blob import Blob
from layerforge.core.errors import NotRecordable
from layerforge.core.storage import HOST, Representation, Storage
from layerforge.core.use import Access, Use
from layerforge.graph.memory import Around, side_by_side
from layerforge.net.fitting import saying_what_fits
from layerforge.net.net import Net
from layerforge.net.recorded import Recorded
from layerforge.solver.loss_scale import LossScale
from layerforge.solver.params import SolverParams
from layerforge.solver.policies import learning_rate, make_policy, momentum, weight_decay
from layerforge.solver.rules import Rule, Step, make_rule

Say = Callable[[str, str], None]


class Updater:
    """Moves the parameters of one net.

    history   Caffe's order: the first history of every parameter, then the second of every parameter
    moving    the rule on every parameter, recorded where the backend can
    early     parameters move within backward, each as soon as its gradient is complete, whose memory then serves others
    seconds   spent on moving parameters early so far
    """

    def __init__(self, net: Net, params: SolverParams, loss_scale: LossScale | None = None) -> None:
        self.net, self.params = net, params
        self.loss_scale = loss_scale or LossScale("FP32")
        self.rule, self.policy = make_rule(params), make_policy(params)
        self.history = [
            Storage(each.blob.count, each.blob.dtype) for _ in range(self.rule.histories) for each in net.learnable
        ]
        self._moves: dict[int, Step] = {}  # learnable number → what it gets in this iteration
        self._arrays: dict[int, list[Any]] = {}  # learnable number → what the last update moved
        self.ours = type(self.rule).__module__ == Rule.__module__  # others may look at any number, also at padding
        recorder = getattr(net.backend, "recorder", None)
        self._records = recorder is not None
        self.moving = Recorded(recorder, self.move, self.storages, what="the update", renumber=self.renumber,
                               reason="" if self.ours else f"the rule {self.rule.name!r} is the user's own")
        self._taken = False
        self.seconds, self.early, self._ready = 0.0, False, net.completions()
        self._held = net.memory.around.held
        self.set_early(False)

    def set_early(self, wanted: bool) -> None:
        """Lets parameters move within backward, where gradients are not needed together: no clipping, no iter_size,
        no loss scale."""
        memory, params = self.net.memory, self.params
        alone = params.iter_size == 1 and params.clip_gradients < 0 and not self.loss_scale.active
        self.early = wanted and memory.packs and alone
        if not memory.packs or not any(self.net.gradients.layers):
            return  # where nothing moves, conversions stay from pass to pass
        moved = [each for each in self.net.learnable if each.lr_mult]
        around = Around(self._held, {each.blob.data: self._home(each.blob) for each in moved})
        if self.early:
            around.held = set(self._held).difference(each.blob.diff for each in moved)
            around.finishing = {
                number: [Use(blob.diff, self._home(blob), Access.READ)
                         for blob in (self.net.learnable[i].blob for i in ready if self.net.learnable[i].lr_mult)]
                for number, ready in enumerate(self._ready)
            }
        memory.change(around)

    def rate(self, iteration: int) -> float:
        """The learning rate of this iteration; asking changes nothing."""
        return learning_rate(self.policy, iteration)

    @np.errstate(all="ignore")  # a gradient that overflows shows in the next loss, which is watched
    def apply(self, iteration: int, loss: float, say: Say) -> None:
        """One update of every parameter from its gradient. Where lr_mult is 0, parameter and history stay; everything
        stays where gradients overflowed under a loss scale."""
        scale = self.loss_scale
        with self.net.taking_lent(), saying_what_fits(self.net):  # the histories are taken now
            norm = self._norm() if scale.active or self.params.clip_gradients >= 0 else 0.0
            self.plan(iteration, loss, say, partial(self._clipping, norm))
            overflowed = scale.active and not math.isfinite(norm)
            if not overflowed:
                self.moving()
        scale.advance(overflowed)
        if overflowed:
            say(scale.said(), "sgd_solver.cpp:99")
        if scale.active:
            self.net.scale_losses(scale.value)

    def backward(self, iteration: int, loss: float, say: Say) -> None:
        """Backward, and each parameter's update as soon as its gradient is complete: what backward and apply do."""
        self.plan(iteration, loss, say, lambda say: 1.0)
        self.net.backward(self._finish)

    def _take_history(self) -> None:
        """Memory of all histories, before the first update."""
        if self._taken:
            return
        self._taken = True
        homes = [self._home(each.blob) if each.lr_mult else HOST for each in self.net.learnable]
        side_by_side(zip(self.history, homes * self.rule.histories))

    def _finish(self, number: int) -> None:
        began = time.perf_counter()
        for i in self._ready[number]:
            step = self._moves.get(i)
            if step is not None:
                self._update(i, step)
        self.seconds += time.perf_counter() - began

    def plan(self, iteration: int, loss: float, say: Say, clipping: Callable[[Say], float]) -> None:
        """What every parameter gets in this iteration, with the factor that `clipping` finds."""
        self._take_history()
        params = self.params
        news = self.policy.advance(iteration, loss)
        if news:
            say(news, "sgd_solver.cpp:50")
        rate = self.rate(iteration)
        if params.display and iteration % params.display == 0:
            say(f"Iteration {iteration}, lr = {rate:g}", "sgd_solver.cpp:112")
        decay, regular = weight_decay(params, iteration), params.regularization_type
        part = momentum(params, iteration, rate)
        self._moves.clear()
        scale = clipping(say) / params.iter_size / self.loss_scale.value
        for i, each in enumerate(self.net.learnable):
            if not each.lr_mult:
                continue
            local = decay * each.decay_mult
            self._moves[i] = Step(rate * each.lr_mult, iteration, part, scale,
                                  l2=local if regular == "L2" else 0.0, l1=local if regular == "L1" else 0.0)

    def move(self) -> None:
        """Moves every parameter as planned."""
        for i, step in self._moves.items():
            self._update(i, step)

    def renumber(self) -> None:
        """The launches of `move` again, where only their numbers are wanted. Touches no storage.

        Raises NotRecordable when other parameters are to be moved than last time.
        """
        if self._moves.keys() != self._arrays.keys():
            raise NotRecordable("other parameters are moved than before")
        for i, step in self._moves.items():
            w, g, *history = self._arrays[i]
            self.rule.update(self.net.update_ops, w, g, history, step)

    def storages(self) -> list[Storage]:
        """All that an update reads and writes."""
        return [*(s for each in self.net.learnable for s in (each.blob.data, each.blob.diff)), *self.history]

    def gradients(self) -> list[Any]:
        """The gradients of all parameters, as arrays."""
        return [each.blob.diff.array(self._home(each.blob)) for each in self.net.learnable]

    def _update(self, i: int, step: Step) -> None:
        blob = self.net.learnable[i].blob
        home = self._home(blob)
        moved = [blob.data, blob.diff, *self.history[i :: len(self.net.learnable)]]
        w, g, *history = arrays = [storage.array(home) for storage in moved]
        self.rule.update(self.net.update_ops, w, g, history, step)
        for storage in moved:
            storage.wrote(home)
        if self.net.memory.packs:
            blob.data.trim(home)
        if self._records:
            self._arrays[i] = arrays

    def _home(self, blob: Blob) -> Representation:
        """Where parameter, gradient and history are updated: the layout that the plan keeps the parameter in."""
        return blob.data.home if self.ours and blob.data.home is not HOST else self.net.backend.representation

    def _norm(self) -> float:
        """‖all gradients‖, without the loss scale."""
        return math.sqrt(self.net.update_ops.sum_of_squares(self.gradients())) / self.loss_scale.value

    def _clipping(self, norm: float, say: Say) -> float:
        """clip_gradients / norm where that is larger, else 1."""
        bound = self.params.clip_gradients
        if bound < 0 or not norm > bound or (self.loss_scale.active and not math.isfinite(norm)):
            return 1.0
        scale = bound / norm
        self.say_clipped(norm, scale, say)
        return scale

    def say_clipped(self, norm: float, scale: float, say: Say) -> None:
        """Caffe's line about a gradient that was too long."""
        bound = self.params.clip_gradients
        say(f"Gradient clipping: scaling down gradients (L2 norm {norm:g} > {bound:g}) by scale factor {scale:g}",
            "sgd_solver.cpp:99")
