"""Curves of training runs: what is drawn, and how."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import cv2
import pytest

from layerforge.core.errors import DataError
from layerforge.pictures.curves import Curve, Panel, distinct, draw_curves, running_mean

PANELS = (Panel("Loss", (Curve("train loss", range(100), [1 / (1 + i) for i in range(100)]),
                         Curve("test <loss>", (0, 50), (1.0, math.nan), dots=True))),
          Panel("Rate", (Curve("rate", (0, 50), (0.1, 0.01), steps=True),)))


def test_svg_names_panels_curves_and_axis(tmp_path):
    draw_curves(PANELS, str(tmp_path / "a.svg"), title="run", x_label="seconds")
    texts = {each.text for each in ElementTree.parse(tmp_path / "a.svg").iter("{http://www.w3.org/2000/svg}text")}
    assert {"run", "Loss", "train loss", "test <loss>", "Rate", "seconds"} <= texts


def test_png_is_a_picture(tmp_path):
    draw_curves(PANELS[1:], str(tmp_path / "a.png"))
    assert cv2.imread(str(tmp_path / "a.png")).shape[1] == 1350


def test_the_same_curves_give_the_same_file(tmp_path):
    for name in ("a.svg", "b.svg"):
        draw_curves(PANELS[1:], str(tmp_path / name))
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_an_unknown_ending_names_the_known_ones(tmp_path):
    with pytest.raises(DataError, match=r"svg, png, pdf; 'bmp'"):
        draw_curves(PANELS, str(tmp_path / "a.bmp"))


@pytest.mark.parametrize(("ys", "wanted"), [
    ((1.0, 0.01), True), ((1.0, 0.5), False), ((1.0, 0.0), False), ((math.nan,), False), ((math.nan, 9, 0.1), True)])
def test_values_that_span_much_stand_on_a_logarithmic_scale(ys, wanted):
    assert Panel("", (Curve("", range(len(ys)), ys),)).logarithmic is wanted


def test_the_running_mean_leaves_out_what_is_no_number():
    assert running_mean([2.0, 4.0, math.inf, 6.0, 8.0], 2) == [2, 3, 3, 5, 7]
    assert math.isnan(running_mean([math.nan], 3)[0])


@pytest.mark.parametrize(("names", "short"), [
    (("/runs/a/train.log",), ["train.log"]), (("/runs/a/x.log", "/runs/b/x.log"), ["a/x.log", "b/x.log"]),
    (("/runs/a.log", "/runs/b.log"), ["a.log", "b.log"])])
def test_names_of_files_lose_what_they_share(names, short):
    assert distinct(names) == short
