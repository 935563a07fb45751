"""LSTM of the 2017 survey: two layers of 256, sequences of 32 words out of 10,000, about 13 million parameters."""

from layerforge.zoo.families.survey import schedule
from layerforge.zoo.families.text import UNIFORM, lstm, sequences
from layerforge.zoo.recipe import nets
from layerforge.zoo.sketch import Sketch

WORDS, STEPS, STREAMS = 10000, 32, 16


def texts() -> dict[str, str]:
    return nets("LSTM", body, filler=UNIFORM) | {"solver.prototxt": schedule("survey_lstm", clip_gradients=5)}


def body(n: Sketch) -> None:
    """From words, one of which is 1 in a row of 10,000, to the next word."""
    if n.training:
        shapes = [{"dim": [STEPS, STREAMS]}] * 3
        fillers = [{"type": "uniform", "min": 0, "max": WORDS}, {"type": "constant", "value": 1}, {"type": "constant"}]
        words, cont, n.label = n.tops("DummyData", "data", ("data", "cont", "label"),
                                      dummy_data_param={"shape": shapes, "data_filler": fillers})
    else:
        words, cont = sequences(n, STEPS)
    x = n.layer("OneHot", "words", words, one_hot_param={"depth": WORDS})
    x = lstm(n, "lstm2", lstm(n, "lstm1", x, cont, 256), cont, 256)
    scores = n.inner("scores", x, WORDS, axis=2)
    n.classify_each(scores)
