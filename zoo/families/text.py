"""What nets that read sequences share. Blobs are (T, N, ...): T steps of N streams side by side."""

from __future__ import annotations

from layerforge.zoo.sketch import Sketch, Top

UNIFORM = {"type": "uniform", "min": -0.08, "max": 0.08}


def sequences(n: Sketch, steps: int) -> tuple[Top, Top]:
    """In training T rows of the HDF5 files in train.txt and test.txt, else one stream of T steps from the caller.

    data   numbers of characters or words
    cont   0 where a sequence starts, 1 where it goes on
    label  what the net should say at each step
    """
    if not n.training:
        return n.input((steps, 1)), n.input((steps, 1), "cont")
    parts = ({"hdf5_data_param": {"source": f"{part}.txt", "batch_size": steps}} for part in ("train", "test"))
    data, cont, _ = n.source("HDF5Data", ("data", "cont", "label"), *parts)
    return data, cont


def embed(n: Sketch, x: Top, words: int, width: int) -> Top:
    """A learned row for each number. Rows that start far apart save the net a long time without progress."""
    return n.layer("Embed", "embed", x, embed_param={
        "input_dim": words, "num_output": width, "bias_term": False, "weight_filler": {"type": "gaussian", "std": 1}})


def lstm(n: Sketch, name: str, x: Top, cont: Top, width: int) -> Top:
    """An LSTM layer; its state goes on into the next batch."""
    return n.layer("LSTM", name, x, cont, recurrent_param={"num_output": width, "weight_filler": {"type": "xavier"}})
