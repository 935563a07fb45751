"""Words for the sentiment net: `prepare` writes texts as HDF5 files, `judge` asks the trained net about a text."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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

WORDS, STEPS, BATCH = 5000, 64, 32
RARE = 1  # the number of a word that is not in the list; 0 is no word


def split(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return re.findall(r"[a-z0-9]+(?:'[a-z]+)?", text.lower())


def vocabulary(texts: Iterable[Sequence[str]]) -> list[str]:
    """The most frequent words, the most frequent first."""
    counts = Counter(word for text in texts for word in text)
    return [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: WORDS - 2]]


def row(words: Sequence[str], number: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the last STEPS words with 0 in front, and cont: 0 up to the first word, then 1."""
    last = [number.get(word, RARE) for word in words[-STEPS:]]
    free = STEPS - len(last)
    return np.array([0] * free + last), np.array([0] * (free + 1) + [1] * (len(last) - 1))[:STEPS]


def batches(texts: Sequence[Sequence[str]], labels: Sequence[int], number: Mapping[str, int]) -> dict[str, np.ndarray]:
    """data, cont and label, each (batches · STEPS, BATCH): a batch is STEPS rows of BATCH texts side by side."""
    count = -(-len(texts) // BATCH) * BATCH  # the last batch is filled from the start
    made: dict[str, list[np.ndarray]] = {"data": [], "cont": [], "label": []}
    for at in range(0, count, BATCH):
        chosen = [i % len(texts) for i in range(at, at + BATCH)]
        data, cont = zip(*(row(texts[i], number) for i in chosen))
        label = np.full((STEPS, BATCH), -1)
        label[-1] = [labels[i] for i in chosen]
        for name, values in (("data", np.stack(data).T), ("cont", np.stack(cont).T), ("label", label)):
            made[name].append(values)
    return {name: np.concatenate(values) for name, values in made.items()}


def prepare(bad: str, good: str, out: str) -> None:
    """Writes train.h5, test.h5 and words.txt.

    Raises DataError when a file holds fewer than five texts.
    """
    texts, labels = [], []
    for label, path in enumerate((bad, good)):
        lines = [split(line) for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines()]
        lines = [words for words in lines if words]
        if len(lines) < 5:
            raise DataError(f"{path} holds {len(lines)} texts, one a line; at least 5 are needed")
        texts += lines
        labels += [label] * len(lines)
    order = np.random.default_rng(1).permutation(len(texts))
    parts = {"train": [i for k, i in enumerate(order) if k % 5], "test": list(order[::5])}
    known = vocabulary(texts[i] for i in parts["train"])
    Path(out, "words.txt").write_text("\n".join(known) + "\n", encoding="utf-8")
    for part, chosen in parts.items():
        arrays = batches([texts[i] for i in chosen], [labels[i] for i in chosen], numbers(known))
        write_part(part, arrays, out)
        print(f"{part}.h5: {len(chosen):,} texts")


def numbers(known: Sequence[str]) -> dict[str, int]:
    """Word → number."""
    return {word: i + 2 for i, word in enumerate(known)}


def judge(net: Net, text: str, number: Mapping[str, int]) -> float:
    """The probability that the text praises."""
    for name, values in zip(("data", "cont"), row(split(text), number)):
        net.blobs[name].data.set(values[:, None])
    net.forward()
    return float(net.blobs["prob"].data.array(HOST).reshape(STEPS, 2)[-1, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("prepare", help="writes train.h5, test.h5, words.txt and the lists that name the files")
    one.add_argument("bad", help="texts that blame, one a line")
    one.add_argument("good", help="texts that praise, one a line")
    one.add_argument("--out", default=".", help="the folder to write into")
    two = commands.add_parser("judge", help="says how likely it is that a text praises")
    two.add_argument("weights")
    two.add_argument("text")
    two.add_argument("--words", default="words.txt", help="the list of words that prepare wrote")
    a = parser.parse_args()
    if a.command == "prepare":
        prepare(a.bad, a.good, a.out)
        return
    net = build_net(read_net(Path(__file__).with_name("deploy.prototxt")))
    load_weights(net, a.weights)
    known = Path(a.words).read_text(encoding="utf-8").split()
    print(f"{judge(net, a.text, numbers(known)):.1%} that the text praises")


if __name__ == "__main__":
    run(main)
