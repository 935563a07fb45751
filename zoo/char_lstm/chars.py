"""Characters for the character LSTM: `prepare` writes a text as HDF5 files, `sample` a text with the trained net."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from layerforge.core.errors import DataError
from layerforge.core.storage import HOST
from layerforge.io.weights import load_weights
from layerforge.net.build import build_net
from layerforge.net.net import Net
from layerforge.schema.read import read_net
from layerforge.zoo.families.streams import write_part
from layerforge.zoo.program import run

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
NUMBER = {character: i for i, character in enumerate(ALPHABET)}
STREAMS = 20
TEST_SHARE = 0.1  # the end of the text is for the tests


def numbers(text: str) -> np.ndarray:
    """The characters' numbers; a tab is a space, what is not in the alphabet a question mark."""
    return np.array([NUMBER.get(c, NUMBER["?"]) for c in text.replace("\t", " ").replace("\r", "")])


def streams(values: np.ndarray) -> dict[str, np.ndarray]:
    """The text cut into streams side by side: data, cont and label, each (steps, STREAMS).

    Raises DataError for a text that is too short.
    """
    steps = (len(values) - 1) // STREAMS
    if steps < 2:
        raise DataError(f"a text of {len(values)} characters is too short for {STREAMS} streams")
    data, label = (values[i : i + steps * STREAMS].reshape(STREAMS, steps).T for i in (0, 1))
    cont = np.ones((steps, STREAMS))
    cont[0] = 0
    return {"data": data, "cont": cont, "label": label}


def prepare(path: str, out: str) -> None:
    """Writes train.h5 and test.h5."""
    values = numbers(Path(path).read_text(encoding="utf-8", errors="replace"))
    cut = round(len(values) * (1 - TEST_SHARE))
    for part, some in (("train", values[:cut]), ("test", values[cut:])):
        print(f"{part}.h5: {write_part(part, streams(some), out):,} steps of {STREAMS} streams")


def sample(net: Net, start: str, length: int, temperature: float, rng: np.random.Generator) -> str:
    """The start and so many characters more. Below 1, the temperature favours what is likely."""
    written = list(numbers(start or "\n"))
    for i in range(len(written) + length - 1):
        p = step(net, written[i], first=i == 0)
        if i == len(written) - 1:
            p = np.exp(np.log(np.maximum(p, 1e-20)) / temperature)
            written.append(int(rng.choice(len(p), p=p / p.sum())))
    return "".join(ALPHABET[i] for i in written)


def step(net: Net, character: int, first: bool) -> np.ndarray:
    """The probabilities of what comes after this character; the net remembers those before."""
    for name, value in (("data", character), ("cont", 0 if first else 1)):
        net.blobs[name].data.array(HOST)[...] = value
        net.blobs[name].data.wrote(HOST)
    net.forward()
    return net.blobs["prob"].data.array(HOST).astype(np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("prepare", help="writes train.h5, test.h5 and the lists that name them")
    one.add_argument("text")
    one.add_argument("--out", default=".", help="the folder to write into")
    two = commands.add_parser("sample", help="writes a text")
    two.add_argument("weights")
    two.add_argument("--start", default="", help="what the text begins with")
    two.add_argument("--length", type=int, default=500, help="how many characters to add")
    two.add_argument("--temperature", type=float, default=0.7)
    two.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    if a.command == "prepare":
        prepare(a.text, a.out)
        return
    net = build_net(read_net(Path(__file__).with_name("deploy.prototxt")))
    load_weights(net, a.weights)
    print(sample(net, a.start, a.length, a.temperature, np.random.default_rng(a.seed)))


if __name__ == "__main__":
    run(main)
