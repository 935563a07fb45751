"""The contracts of the kernels: NumPy has them all, CuPy has a family whole or not at all and says what it lacks."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

from layerforge.backends import ops
from layerforge.backends.cupy import CupyOps
from layerforge.backends.numpy import NumpyOps
from layerforge.core.errors import DeviceError

FAMILIES = sorted(found.name for found in pkgutil.iter_modules(ops.__path__))


def contract(family: str) -> type:
    """The one class of a contract file."""
    module = importlib.import_module(f"layerforge.backends.ops.{family}")
    found = [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__]
    assert len(found) == 1, f"{module.__name__} holds one class, the family's"
    return found[0]


def methods(family: str) -> Iterator[tuple[str, Any]]:
    """The methods of a family's contract."""
    return (
        (name, f) for name, f in vars(contract(family)).items() if inspect.isfunction(f) and not name.startswith("_")
    )


def arguments(function: Any) -> list[tuple[str, Any, Any]]:
    """Names, kinds and defaults; what the types are is said by the contract alone."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def missing(backend: type, family: str) -> list[str]:
    """The methods of a family that this backend does not have."""
    return [name for name, asked in methods(family) if getattr(backend, name, asked) is asked]


@pytest.mark.parametrize("backend", [NumpyOps, CupyOps])
@pytest.mark.parametrize("family", FAMILIES)
def test_methods_take_what_the_contract_says(family: str, backend: type) -> None:
    for name, asked in methods(family):
        assert arguments(getattr(backend, name, asked)) == arguments(asked), f"{backend.__name__}.{name}"


@pytest.mark.parametrize("family", FAMILIES)
def test_numpy_has_every_method(family: str) -> None:
    assert not missing(NumpyOps, family)


@pytest.mark.parametrize("family", FAMILIES)
def test_families_share_no_method(family: str) -> None:
    others = {name for other in FAMILIES if other != family for name, _ in methods(other)}
    assert not others & {name for name, _ in methods(family)}


@pytest.mark.parametrize("family", FAMILIES)
def test_implementations_stand_in_the_file_of_their_family(family: str) -> None:
    for backend, folder in ((NumpyOps, "numpy"), (CupyOps, "cupy")):
        for name, asked in methods(family):
            have = getattr(backend, name, asked)
            assert have is asked or have.__module__ == f"layerforge.backends.{folder}.{family}", (
                f"{backend.__name__}.{name}"
            )


@pytest.mark.parametrize("family", FAMILIES)
def test_cupy_has_a_family_whole_or_says_that_it_lacks_it(family: str) -> None:
    lacking, every = missing(CupyOps, family), [name for name, _ in methods(family)]
    assert lacking in ([], every), f"of {family} CuPy lacks only {lacking}"
    for name in lacking:
        with pytest.raises(DeviceError, match=f"no kernel {name} yet"):
            getattr(CupyOps(None, None), name)


def test_how_much_cupy_has_is_shown() -> None:
    gaps = {family: names for family in FAMILIES if (names := missing(CupyOps, family))}
    every, lacking = sum(len(list(methods(f))) for f in FAMILIES), sum(map(len, gaps.values()))
    print(f"\nCuPy has {every - lacking} of {every} kernels")
    for family, names in gaps.items():
        print(f"  lacks {family}: {', '.join(names)}")
    assert not gaps, "write the kernels in layerforge/backends/cupy, and a test with `both.compare`"
