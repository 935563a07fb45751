"""The packages of setup.cfg are the package folders that exist."""

from __future__ import annotations

import configparser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _setup_cfg() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def _existing() -> set[str]:
    names = set()
    for top, prefix in (("layerforge", ""), ("cli", "layerforge."), ("zoo", "layerforge.")):
        for init in (ROOT / top).rglob("__init__.py"):
            names.add(prefix + ".".join(init.parent.relative_to(ROOT).parts))
    return names


def test_listed_packages_are_those_that_exist():
    listed = _setup_cfg()["options"]["packages"].split()
    assert listed == sorted(listed), "keep the list in alphabetical order"
    assert set(listed) == _existing()


def test_every_folder_with_modules_is_a_package():
    bare = {str(path.parent.relative_to(ROOT)) for top in ("layerforge", "cli") for path in (ROOT / top).rglob("*.py")
            if not (path.parent / "__init__.py").exists()}
    assert not bare, f"folders without __init__.py: {sorted(bare)}"


def test_every_dependency_has_both_bounds():
    config = _setup_cfg()
    lines = config["options"]["install_requires"].split("\n")
    for extra in config["options.extras_require"].values():
        lines += extra.split("\n")
    loose = [line for line in lines if line.strip() and not line.startswith("layerforge[")
             and not ((">=" in line and "<" in line) or "==" in line.split(";")[0])]
    assert not loose, loose
