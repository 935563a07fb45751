"""The page on exporting names every layer that can be exported, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from layerforge.io.onnx import export
from layerforge.io.onnx.graph import CONVERTERS
from layerforge.net.build import build_net
from layerforge.schema.read import read_net

PAGE = Path(__file__).parents[3] / "docs" / "export.md"


def test_the_page_lists_the_layers_that_can_be_exported():
    table = PAGE.read_text().split("These layers can be exported:")[1].split("## ")[0]
    rows = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")][1:]
    named = {name for row in rows for name in re.sub(r"\(.*?\)", "", row).replace(" ", "").split(",")}
    assert named == set(CONVERTERS)


def test_the_script_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = build_net(read_net(PAGE.parents[1] / "zoo" / "digits" / "deploy.prototxt"), engines=())
    export.export_onnx(net, "digits.onnx", dynamic_batch=True)
    found: dict = {}
    exec(re.search(r"```python\n(.*?)```", PAGE.read_text(), re.S)[1], found)
    assert found["prob"].shape == (10, 10)
