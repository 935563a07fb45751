"""The picture of docs/zoo.md: published accuracy over multiply-accumulates, as SVG.

`python -m layerforge.zoo.chart docs/zoo.svg`
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from layerforge.zoo.catalogue import models

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 860, 540, 64, 64, 24, 56
MACS = (1e8, 2.2e10)
ACCURACY = (55.0, 81.5)
COLOURS = {"AlexNet": "#d98a1f", "VGG": "#7a5cd0", "Inception": "#2a9d8f", "Residual": "#3b7dd8", "Dense": "#4c9a4a",
           "Mobile": "#d4453c"}
FAMILIES = (("alexnet caffenet zfnet nin", "AlexNet"), ("vgg", "VGG"), ("googlenet inception", "Inception"),
            ("resnet resnext se_resnet", "Residual"), ("densenet", "Dense"), ("", "Mobile"))
# Where names stand that would meet others above their circles.
SIDES = {"alexnet": "below", "nin": "right", "inception_bn": "left", "vgg16": "below", "resnet101": "below",
         "se_resnet50": "left", "densenet121": "below", "densenet169": "left", "googlenet": "left",
         "mobilenet_v2": "left", "resnet18": "right", "resnet50": "right", "densenet201": "right",
         "mobilenet_v1": "right", "resnext50": "corner"}


def x_of(macs: float) -> float:
    """Logarithmic."""
    low, high = map(math.log, MACS)
    return LEFT + (WIDTH - LEFT - RIGHT) * (math.log(macs) - low) / (high - low)


def y_of(accuracy: float) -> float:
    """Upwards."""
    low, high = ACCURACY
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (accuracy - low) / (high - low)


def family(name: str) -> str:
    """The family that a model's colour shows."""
    return next(kind for words, kind in FAMILIES if not words or name.startswith(tuple(words.split())))


def chart() -> str:
    """The whole picture: the models of the group ImageNet whose top-1 accuracy is known."""
    shown = {name: model.facts for name, model in models().items() if model.facts["group"] == "ImageNet"
             and isinstance(model.facts["accuracy"], dict) and "top1" in model.facts["accuracy"]}
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
             'font-family="DejaVu Sans, Helvetica, sans-serif" font-size="11">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>', *axes(), *legend()]
    for name, facts in sorted(shown.items(), key=lambda item: -item[1]["parameters"]):
        lines += mark(name, facts)
    return "\n".join([*lines, "</svg>", ""])


def axes() -> Iterator[str]:
    """Grid, numbers and titles."""
    yield f'<text x="{LEFT}" y="22" font-size="14" font-weight="bold">ImageNet, one crop: accuracy over work</text>'
    for value in (1e8, 2e8, 5e8, 1e9, 2e9, 5e9, 1e10, 2e10):
        x, words = x_of(value), f"{value / 1e9:g}"
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#e3e6ea"/>'
        yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#57606a">{words}</text>'
    for value in range(55, 81, 5):
        y = y_of(value)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#e3e6ea"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#57606a">{value}</text>'
    yield (f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 14}" text-anchor="middle">'
           "10⁹ multiply-accumulates a picture; areas: parameters</text>")
    yield (f'<text transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)" text-anchor="middle">'
           "top-1 %</text>")


def legend() -> Iterator[str]:
    """The families and their colours."""
    x = LEFT + 6
    for i, (name, colour) in enumerate(COLOURS.items()):
        yield f'<circle cx="{x + 80 * i}" cy="42" r="5" fill="{colour}" fill-opacity="0.75"/>'
        yield f'<text x="{x + 80 * i + 9}" y="46">{name}</text>'


def mark(name: str, facts: Mapping[str, Any]) -> Iterator[str]:
    """A circle whose area is the number of parameters, and the model's name."""
    x, y, r = x_of(facts["macs"]), y_of(facts["accuracy"]["top1"]), max(3.0, 1.5 * math.sqrt(facts["parameters"] / 1e6))
    words = escape(facts["name"])
    yield (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{COLOURS[family(name)]}" fill-opacity="0.55">'
           f'<title>{words}: {facts["parameters"]:,} parameters, {facts["macs"]:,} MACs</title></circle>')
    dx, dy, anchor = {"above": (0, -r - 4, "middle"), "below": (0, r + 11, "middle"), "left": (-r - 4, 4, "end"),
                      "right": (r + 4, 4, "start"), "corner": (r, -r - 4, "end")}[SIDES.get(name, "above")]
    yield f'<text x="{x + dx:.1f}" y="{y + dy:.1f}" text-anchor="{anchor}" font-size="10">{words}</text>'


if __name__ == "__main__":
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(chart())
