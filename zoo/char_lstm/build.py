"""A character LSTM: reads a text character by character and says which comes next."""

from layerforge.zoo.families.text import UNIFORM, embed, lstm, sequences
from layerforge.zoo.recipe import nets, solver
from layerforge.zoo.sketch import Sketch

CHARACTERS = 96  # the line break and the printable ones of ASCII
STEPS = 50       # through which gradients flow


def texts() -> dict[str, str]:
    comment = "Batches of 50 characters in 20 streams, which go on from batch to batch. Long gradients are cut to 5."
    schedule = solver(comment, type="Adam", test_iter=[20], test_interval=500, base_lr=0.002, lr_policy="step",
                      gamma=0.5, stepsize=2000, momentum=0.9, momentum2=0.999, clip_gradients=5, max_iter=6000,
                      display=50, average_loss=50, snapshot=2000, snapshot_prefix="char_lstm")
    return nets("CharLSTM", body, filler=UNIFORM) | {"solver.prototxt": schedule}


def body(n: Sketch) -> None:
    """From characters to the probabilities of the next one."""
    x, cont = sequences(n, STEPS if n.training else 1)
    x = lstm(n, "lstm2", lstm(n, "lstm1", embed(n, x, CHARACTERS, 64), cont, 256), cont, 256)
    n.classify_each(n.inner("scores", x, CHARACTERS, axis=2))
