"""upgrade_net and upgrade_solver write what Caffe's tools write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from layerforge.cli.main import main
from layerforge.io.weights import read_weights
from layerforge.schema.read import read_binary_net

FILES = Path(__file__).parents[1] / "golden" / "files"
UPGRADED = sorted((FILES / "upgrade").glob("*.upgraded.prototxt"))


@pytest.mark.parametrize("golden", UPGRADED, ids=lambda path: path.name)
def test_texts_are_caffes_byte_for_byte(golden, tmp_path):
    old = golden.with_name(golden.name.replace(".upgraded", ""))
    command = "upgrade_net_proto_text" if old.name.startswith("net") else "upgrade_solver_proto_text"
    assert main([command, str(old), str(tmp_path / "new.prototxt")]) == 0
    assert (tmp_path / "new.prototxt").read_bytes() == golden.read_bytes()


@pytest.mark.parametrize(("command", "name"), [("upgrade_net", "net_v1"), ("upgrade_solver", "solver_adam")])
def test_a_text_of_today_stays_as_it_is(command, name, tmp_path, capsys):
    new = FILES / "upgrade" / f"{name}.upgraded.prototxt"
    assert main([command, str(new), str(tmp_path / "new.prototxt")]) == 0
    assert "of the latest format already" in capsys.readouterr().err
    assert (tmp_path / "new.prototxt").read_bytes() == new.read_bytes()


def test_weights_keep_their_values_and_get_a_net_of_today(tmp_path):
    old, new = FILES / "model" / "small_v1.caffemodel", tmp_path / "new.caffemodel"
    assert main(["upgrade_net_proto_binary", str(old), str(new)]) == 0
    assert [layer.type for layer in read_binary_net(new).layers][:2] == ["Convolution", "Pooling"]
    before = {layer.name: layer.blobs for layer in read_weights(old) if layer.blobs}
    after = {layer.name: layer.blobs for layer in read_weights(new) if layer.blobs}
    assert before.keys() == after.keys()
    for name, blobs in before.items():
        for a, b in zip(blobs, after[name]):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("content", [b"layers { type: CONVOLUTON }", b"\x00\x01\x02broken"])
def test_what_is_no_net_is_an_error_and_writes_nothing(content, tmp_path, capsys):
    (tmp_path / "old").write_bytes(content)
    assert main(["upgrade_net", str(tmp_path / "old"), str(tmp_path / "new")]) == 1
    assert str(tmp_path / "old") in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
