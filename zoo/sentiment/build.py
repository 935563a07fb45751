"""A sentiment net: word by word through an LSTM, and at the last word whether the text praises."""

from layerforge.zoo.families.text import UNIFORM, embed, lstm, sequences
from layerforge.zoo.recipe import nets, solver
from layerforge.zoo.sketch import Sketch

WORDS = 5000  # 0 stands for no word, 1 for a rare one
STEPS = 64    # words of a text; shorter ones are filled with 0 in front


def texts() -> dict[str, str]:
    comment = "Batches of 64 words of 32 texts."
    schedule = solver(comment, type="Adam", test_iter=[20], test_interval=200, base_lr=0.001, lr_policy="fixed",
                      momentum=0.9, momentum2=0.999, clip_gradients=5, weight_decay=0.0001, max_iter=2000, display=20,
                      snapshot=1000, snapshot_prefix="sentiment")
    return nets("Sentiment", body, filler=UNIFORM) | {"solver.prototxt": schedule}


def body(n: Sketch) -> None:
    """From words to two classes; every step but the last has the label -1, which counts for nothing."""
    x, cont = sequences(n, STEPS)
    x = n.dropout("drop", lstm(n, "lstm", embed(n, x, WORDS, 64), cont, 64))
    n.classify_each(n.inner("scores", x, 2, axis=2), ignore=-1)
