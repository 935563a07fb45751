"""What an exact resume needs beside Caffe's state: seed and draws, where every layer stands, the losses on display."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from layerforge.core.errors import DataError, LayerForgeError
from layerforge.core.storage import HOST
from layerforge.layers.base import Layer
from layerforge.net.net import Net
from layerforge.solver.loss_scale import restored

if TYPE_CHECKING:
    from layerforge.solver.loop import Solver

Say = Callable[[str], None]


def run_state(solver: Solver) -> dict[str, Any]:
    """The run as it stands now, as plain values.

    seed, draws    of the random streams
    losses         the window of average_loss
    policy         what the learning-rate policy remembers
    loss_scale     of FP16: the scale, and the good iterations since it last changed
    layers         per net, for every layer that has a state: [number, name, state]
    """
    nets = named_nets(solver)
    return {
        "seed": solver.rng.seed, "draws": solver.rng.state(), "losses": list(solver.losses),
        "policy": solver.updater.policy.state(), "loss_scale": solver.loss_scale.state(),
        "layers": {key: [[i, layer.name, state] for i, layer, state in _states(net)] for key, net in nets},
    }


def load_run_state(solver: Solver, state: Mapping[str, Any], say: Say) -> None:
    """Goes back to a saved run. What the nets lack of it, or it of the nets, is said.

    Raises DataError when the values are of another kind.
    """
    try:
        solver.rng.load_state(int(state["seed"]), {str(k): int(v) for k, v in state["draws"].items()})
        solver.losses.clear()
        solver.losses.extend(float(loss) for loss in state["losses"])
        solver.updater.policy.load_state(state["policy"])
        restored(solver.loss_scale, state)
        if solver.loss_scale.active:
            solver.net.scale_losses(solver.loss_scale.value)
        for key, net in named_nets(solver):
            _load_layers(net, state["layers"].get(key, ()), say)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"the saved run does not fit this solver: {error!r}",
                        hint="was the state saved with other nets? --weights takes over the weights alone") from None


def weights_digest(net: Net) -> str:
    """A short name for the values of all parameters."""
    digest = hashlib.blake2b(digest_size=16)
    for each in net.learnable:
        digest.update(each.blob.data.array(HOST).data)
    return digest.hexdigest()


def named_nets(solver: Solver) -> Iterator[tuple[str, Net]]:
    """The train net and the test nets under the names they have in a state."""
    yield "train", solver.net
    yield from ((f"test{i}", net) for i, net in enumerate(solver.test_nets))


def _states(net: Net) -> Iterator[tuple[int, Layer, dict[str, Any]]]:
    for i, layer in enumerate(net.layers):
        state = layer.state()
        if state:
            yield i, layer, state


def _load_layers(net: Net, saved: Iterable[Any], say: Say) -> None:
    missing = {i: layer for i, layer, _ in _states(net)}
    for index, name, state in saved:
        if index >= len(net.layers) or net.layers[index].name != name:
            say(f"The state of layer '{name}' is not restored: the net has no such layer at its place")
            continue
        missing.pop(index, None)
        try:
            net.layers[index].load_state(state)
        except LayerForgeError as error:  # other data than then: training can go on with it, though not exactly
            say(f"The state of layer '{name}' is not restored, it starts anew: {error.message}")
    for layer in missing.values():
        say(f"The state of layer '{layer.name}' was not saved: it starts anew")
    for layer in net.layers:
        if layer.type == "Python" and not layer.state():
            say(f"Layer '{layer.name}' (Python) has no state(): what it remembers is not restored")
