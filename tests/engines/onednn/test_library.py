"""Where oneDNN is looked for, what a missing one is told, and that NumPy serves without it."""

import pytest

from layerforge import engines
from layerforge.backends import get_backend
from layerforge.core.errors import DeviceError
from layerforge.engines.onednn import library
from layerforge.net.build import build_net
from layerforge.schema.read import parse_net

NET = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "i" type: "InnerProduct" bottom: "data" top: "i" inner_product_param { num_output: 4 } }"""


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv(library.PATH_VARIABLE, raising=False)
    monkeypatch.delenv(engines.VARIABLE, raising=False)


def test_a_library_that_is_not_one_is_an_error_with_its_path(tmp_path, monkeypatch):
    path = tmp_path / "libdnnl.so.3"
    path.write_text("nothing")
    monkeypatch.setenv(library.PATH_VARIABLE, str(path))
    with pytest.raises(DeviceError, match=str(path)) as error:
        library._load()
    assert library.PATH_VARIABLE in error.value.hint


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(library, "_candidates", lambda: iter(()))
    with pytest.raises(DeviceError, match=f"{library.PACKAGE} is not installed"):
        library._load()


@pytest.mark.parametrize(
    ("reasons", "system", "processor", "cure"),
    [
        ("libgomp.so.1: cannot open shared object file", "linux", "x86_64", "apt install libgomp1"),
        ("the package is not installed", "linux", "x86_64", f"pip install {library.PACKAGE}"),
        ("libdnnl.so.3: cannot open", "linux", "aarch64", "is for Linux on x86-64"),
        ("Could not find module", "win32", "AMD64", "is for Linux on x86-64"),
        ("image not found", "darwin", "arm64", "is for Linux on x86-64"),
    ],
)
def test_the_cure_is_that_of_the_system(reasons, system, processor, cure):
    assert cure in library._cure(reasons, system, processor)


def test_numpy_serves_where_the_library_is_missing(monkeypatch):
    def missing():
        raise DeviceError("oneDNN cannot be loaded")

    monkeypatch.setattr(library, "load", missing)
    assert engines.default_engines(get_backend()) == []
    net = build_net(parse_net(NET))
    net.forward()
    assert [step.engine for step in net.steps] == ["layer", "layer"]
