"""docs/zoo.md: its tables, picture and program are of today."""

import re
from pathlib import Path

import pytest

from layerforge.schema.read import parse_net, parse_solver
from layerforge.zoo.catalogue import models
from layerforge.zoo.chart import chart
from layerforge.zoo.page import filled

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "zoo.md").read_text(encoding="utf-8")


def test_tables_are_what_the_readmes_say():
    assert filled(PAGE) == PAGE, "run `python -m layerforge.zoo.page docs/zoo.md`"


def test_every_model_has_a_row():
    assert [name for name in models() if f"[{name}](../zoo/{name}/README.md)" not in PAGE] == []


def test_the_picture_is_what_the_readmes_say():
    committed = (DOCS / "zoo.svg").read_text(encoding="utf-8")
    assert committed == chart(), "run `python -m layerforge.zoo.chart docs/zoo.svg`"


def test_every_key_of_the_facts_is_explained():
    used = {key for model in models().values() for key in model.facts}
    explained = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.M))))
    assert used <= explained


def test_the_program_of_the_page_makes_nets_and_a_solver():
    scope: dict = {}
    exec(re.search(r"^```python\n(.*?)^```", PAGE, re.S | re.M)[1], scope)  # noqa: S102
    made = scope["texts"]()
    assert [layer.name for layer in parse_net(made["deploy.prototxt"]).layers] == [
        "data", "conv1", "relu1", "pool1", "ip1", "prob"]
    assert parse_net(made["train_val.prototxt"]).layers[0].type == "Data"
    assert parse_solver(made["solver.prototxt"]).fields["max_iter"].value == 1000


@pytest.mark.parametrize("name", ["lenet", "googlenet"])
def test_links_of_the_page_lead_to_pages(name):
    assert (DOCS / f"../zoo/{name}/README.md").is_file()
