"""`layerforge check FILE`."""

from __future__ import annotations

import sys

import pytest

from layerforge.cli.main import main
from layerforge.layers import registry
from layerforge.schema import kinds

FILE = '''
from layerforge.plugin import Layer, Params, field

class TimesParams(Params):
    by: float = field(float, 2.0, doc="the factor")

class Times(Layer):
    """y = by · x"""

    type, Params = "Times", TimesParams

    def reshape(self, bottom, top):
        self.require(self.params.by < 5, "by is too large")
        top[0].reshape(bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.params.by * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = 2 * top[0].diff

class Free(Layer):
    """y = x²"""

    type, differentiate = "Free", True

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data ** 2
'''


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_plugins", dict(registry._plugins))
    monkeypatch.setattr(kinds, "_declared", dict(kinds._declared))
    (tmp_path / "my_checked.py").write_text(FILE)
    yield "my_checked.py"
    sys.modules.pop("my_checked", None)


def test_every_layer_of_the_file_gets_its_verdict(file, capsys):
    assert main(["check", file]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("Times: ok (") and second.startswith("Free: ok (")


def test_a_layer_that_fails_gives_exit_code_1(file, capsys):
    assert main(["check", file, "--layer", "Times", "--params", "by=3", "--shapes", "2x3"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("Times: FAILED (7 checks, bottoms (2, 3))\n  Backward agrees") and "Free" not in out


def test_a_layer_that_cannot_be_set_up_says_why(file, capsys):
    assert main(["check", file, "--layer", "Times", "--params", "by=7"]) == 1
    out = capsys.readouterr().out
    assert "it cannot be set up: layer 'layer' (Times): by is too large" in out and "hint: --shapes" in out


@pytest.mark.parametrize("flags, code, message", [
    (["--layer", "Time"], 1, "did you mean 'Times'?"), (["--shapes", "2xx3"], 2, "--shapes takes"),
    (["--shapes", "0x3"], 2, "--shapes takes"), (["--params", "by"], 2, "--params takes")])
def test_wrong_flags_are_explained(file, capsys, flags, code, message):
    assert main(["check", file, *flags]) == code
    assert message in capsys.readouterr().err


def test_a_file_without_layers_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no_layers_here.py").write_text("x = 1\n")
    assert main(["check", "no_layers_here.py"]) == 1
    assert "no_layers_here.py has no layers" in capsys.readouterr().err
    del sys.modules["no_layers_here"]
