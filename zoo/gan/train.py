"""Trains the generative adversarial net: two solvers take turns.

The discriminator learns from as many real pictures as drawn ones. Then the generator learns with the discriminator on
top of it: the same memory, and a learning rate of 0 there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

import layerforge as caffe
from layerforge.zoo.catalogue import ROOT
from layerforge.zoo.program import run

HERE = Path(__file__).resolve().parent
DIGITS = ROOT / "digits" / "digits.csv.gz"


class Game:
    """Both solvers, and the net that draws."""

    def __init__(self, pictures: np.ndarray, seed: int = 1) -> None:
        self.pictures, self.rng = pictures, np.random.default_rng(seed)
        caffe.set_random_seed(seed)
        self.teller, self.drawer = (
            caffe.get_solver(HERE / f"{name}_solver.prototxt") for name in ("discriminator", "generator"))
        self.drawer.net.share_with(self.teller.net)  # the layers of one name: the discriminator's
        self.net = caffe.Net(str(HERE / "deploy.prototxt"), caffe.TEST)
        self.net.share_with(self.drawer.net)
        self.batch, self.noise = self.net.blobs["noise"].shape

    def draw(self) -> np.ndarray:
        """A batch of drawn pictures, each a row of pixels."""
        return self.net.forward(noise=self.rng.standard_normal((self.batch, self.noise)))["picture"]

    def step(self) -> tuple[float, float]:
        """A turn of each; returns their losses."""
        real = self.pictures[self.rng.integers(len(self.pictures), size=self.batch)]
        inputs = self.teller.net.blobs
        inputs["picture"].data[...] = np.concatenate([real, self.draw()])
        inputs["label"].data[...] = np.repeat([1, 0], self.batch)[:, None]
        self.teller.step(1)
        inputs = self.drawer.net.blobs
        inputs["noise"].data[...] = self.rng.standard_normal(inputs["noise"].shape)
        inputs["label"].data[...] = 1
        self.drawer.step(1)
        return tuple(float(solver.net.blobs["loss"].data) for solver in (self.teller, self.drawer))

    def play(self, iterations: int, told: Callable[[int, float, float], None] = lambda *_: None) -> None:
        """So many turns of each."""
        for i in range(iterations):
            told(i, *self.step())


def digits() -> np.ndarray:
    """The pictures that ship with the project, (n, 64), pixels between 0 and 1."""
    return np.loadtxt(DIGITS, delimiter=",")[:, :64] / 16


def sheet(pictures: np.ndarray, columns: int = 8) -> np.ndarray:
    """Pictures of 8 × 8 side by side with a border, as bytes."""
    framed = np.pad(pictures.reshape(-1, columns, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=0.3)
    rows = framed.transpose(0, 2, 1, 3).reshape(-1, columns * 10)
    return np.kron(255 * rows, np.ones((4, 4))).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=4000, help="turns of each solver")
    parser.add_argument("--out", default="digits.png", help="the picture of drawn digits to write")
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    game = Game(digits(), a.seed)

    def told(i: int, teller: float, drawer: float) -> None:
        if i % 500 == 0:
            print(f"iteration {i}: discriminator {teller:.3f}, generator {drawer:.3f}")

    game.play(a.iterations, told)
    import cv2

    cv2.imwrite(a.out, sheet(game.draw()))
    print(f"drawn digits: {a.out}")


if __name__ == "__main__":
    run(main)
