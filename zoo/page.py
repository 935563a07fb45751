"""The tables of docs/zoo.md, from the READMEs.

`python -m layerforge.zoo.page docs/zoo.md` writes them into the page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from layerforge.zoo.catalogue import GROUPS, Model, models

MARK = re.compile(r"(<!-- tables -->\n).*(<!-- end -->)", re.S)


def tables() -> str:
    """A table for each group."""
    return "\n".join(line for group in GROUPS for line in table(group)) + "\n"


def table(group: str) -> Iterator[str]:
    """A row per model of the group, with a link to its README."""
    columns = "| Model | What | Parameters | MACs | Accuracy % | Paper |"
    yield from ("", f"### {group[0].upper()}{group[1:]}", "", columns, "|---|---|---:|---:|---:|---|")
    for name, model in models().items():
        if model.facts["group"] == group:
            facts = model.facts
            cells = (f"[{name}](../zoo/{name}/README.md)", facts["summary"], f"{facts['parameters']:,}",
                     f"{facts['macs']:,}", accuracy(model), facts["paper"])
            yield f"| {' | '.join(cells)} |"


def accuracy(model: Model) -> str:
    """Top-1 and top-5, or mean intersection over union, as published."""
    known = model.facts["accuracy"]
    if not isinstance(known, dict):
        return "-"
    names = {"top1": "{}", "top5": "top-5 {}", "mean_iu": "mean IU {}"}
    return ", ".join(names[key].format(value) for key, value in known.items() if key in names)


def filled(page: str) -> str:
    """The page with the tables of today."""
    return MARK.sub(lambda match: match[1] + tables() + "\n" + match[2], page)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
