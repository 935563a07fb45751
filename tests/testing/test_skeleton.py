"""The layer that `make layer` writes passes its own test."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from layerforge.core.errors import NetError
from layerforge.testing.skeleton import main, write_layer


def test_the_layer_passes_its_test_and_is_right(tmp_path):
    layer, _ = write_layer("MyGate2", str(tmp_path), str(tmp_path))
    assert os.path.basename(layer) == "my_gate2.py"
    for command in (["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_gate2.py"],
                    ["-m", "layerforge", "check", "my_gate2.py"]):
        done = subprocess.run([sys.executable, *command], check=False, cwd=tmp_path, capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": str(tmp_path)})
        assert done.returncode == 0, done.stdout + done.stderr


def test_one_of_ours_imports_from_the_room(tmp_path):
    layer, test = write_layer("MyGate2", str(tmp_path), str(tmp_path), ours=True)
    with open(layer, encoding="utf-8") as file:
        assert "from layerforge.layers.base import Layer" in file.read()
    with open(test, encoding="utf-8") as file:
        assert "from layerforge.layers.my_gate2 import MyGate2" in file.read()


@pytest.mark.parametrize("name, message", [("swish", "no name for a layer"), ("My Layer", "no name for a layer"),
                                           ("Swish", "exists already")])
def test_other_names_are_refused(tmp_path, name, message):
    with pytest.raises(NetError, match=message):
        write_layer(name, str(tmp_path), str(tmp_path))


def test_nothing_is_overwritten(tmp_path):
    write_layer("MyGate2", str(tmp_path), str(tmp_path))
    with pytest.raises(NetError, match="exists already in .*my_gate2.py"):
        write_layer("MyGate2", str(tmp_path), str(tmp_path))


def test_a_name_must_be_given(capsys):
    assert main([""]) == 2 and "make layer NAME=" in capsys.readouterr().err
