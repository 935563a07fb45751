"""What the zoo holds: a folder a model, whose README.md begins with its facts."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from layerforge.core.errors import DataError, did_you_mean
from layerforge.netdef.types import NetDef, Phase
from layerforge.schema.read import read_net

ROOT = Path(__file__).resolve().parent
GROUPS = ("small pictures", "ImageNet", "segmentation", "text", "other", "2017 survey")
DEPLOY, TRAIN_VAL = "deploy.prototxt", "train_val.prototxt"


@dataclass(frozen=True)
class Model:
    """One model.

    name    its folder
    facts   the front matter of its README.md; docs/zoo.md says what each key means
    """

    name: str
    folder: Path
    facts: Mapping[str, Any]

    @property
    def nets(self) -> dict[str, Phase]:
        """The net files, each with the phase that it is made for; the one to apply first."""
        said = self.facts.get("nets", {DEPLOY: "TEST", TRAIN_VAL: "TRAIN"})
        return {file: Phase[phase] for file, phase in said.items()}

    @property
    def solvers(self) -> list[Path]:
        """The solvers' files."""
        return sorted(self.folder.glob("*solver*.prototxt"))

    def definition(self, file: str) -> NetDef:
        """The net of one of the files."""
        return read_net(self.folder / file)

    def files(self) -> list[Path]:
        """Everything that belongs to the model."""
        return sorted(path for path in self.folder.iterdir() if path.is_file() and not path.name.startswith("."))


@functools.cache
def models() -> Mapping[str, Model]:
    """Name → model, in the order of the catalogue: by group, year and name.

    Raises DataError for a README without a group and a year.
    """
    found = [model(path.parent.name) for path in ROOT.glob("*/README.md")]
    return {each.name: each for each in sorted(found, key=_place)}


def _place(model: Model) -> tuple[Any, ...]:
    facts = model.facts
    if facts.get("group") not in GROUPS or "year" not in facts:
        raise DataError(f"{model.folder / 'README.md'}: group must be one of {', '.join(GROUPS)}, and year be given")
    parts = [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", model.name)]
    return GROUPS.index(facts["group"]), facts["year"], parts


@functools.cache
def model(name: str) -> Model:
    """The model of this name; only its own facts are read.

    Raises DataError when there is none.
    """
    facts = {path.parent.name: path for path in ROOT.glob("*/README.md")}
    if name not in facts:
        raise DataError(f"the zoo has no model {name!r}",
                        hint=did_you_mean(name, list(models())) or "`layerforge zoo` lists the models")
    return Model(name, facts[name].parent, front_matter(facts[name]))


def front_matter(path: Path) -> Mapping[str, Any]:
    """The YAML between the first two lines of dashes.

    Raises DataError when it is missing or no mapping.
    """
    parts = path.read_text(encoding="utf-8").split("---\n", 2)
    try:
        facts = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else None
    except yaml.YAMLError as error:
        raise DataError(f"{path}: the front matter is no YAML: {error}") from None
    if not isinstance(facts, dict):
        raise DataError(f"{path} does not begin with front matter", hint="facts in YAML between two lines of ---")
    return facts
