"""The file of chosen plans: kept by device, version and graph; what is broken is timed again."""

import json
import logging

import pytest

from layerforge.engines.cudnn.choices import Choices, choices_path
from layerforge.engines.cudnn.graphs import BiasGradient

KEY, OTHER = BiasGradient((1, 2, 3, 4), "BF16"), BiasGradient((1, 2, 3, 4), "FP16")
H200 = "H200, compute capability 9.0"


def test_chosen_plans_are_kept_by_device_version_and_graph(tmp_path):
    path = tmp_path / "sub" / "plans.json"
    Choices(path, H200, "9.28.0").put(KEY, 3, "eng4")
    assert Choices(path, H200, "9.28.0").get(KEY) == (3, "eng4")
    newer = H200.replace("9.0", "9.1")
    for device, version, key in ((newer, "9.28.0", KEY), (H200, "9.19.0", KEY), (H200, "9.28.0", OTHER)):
        assert Choices(path, device, version).get(key) is None


BROKEN = ["{ broken", "[1]", '{"H200": 3}', '{"H200": {"key": [1]}}', '{"H200": {"key": ["1", "eng"]}}',
          '{"H200": {"key": [-1, "eng"]}}', "[" * 100000, "\udcff"]


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_broken_file_is_left_aside_with_a_warning(tmp_path, caplog, text):
    path = tmp_path / "plans.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    choices = Choices(path, H200, "9.28.0")
    assert choices.get(KEY) is None
    assert f"{path} is not read, and cuDNN's plans are timed again" in caplog.text
    choices.put(KEY, 1, "eng1")
    assert Choices(path, H200, "9.28.0").get(KEY) == (1, "eng1")


def test_choices_of_two_processes_are_kept_side_by_side(tmp_path):
    path = tmp_path / "plans.json"
    one, two = (Choices(path, H200, "9.28.0") for _ in range(2))
    one.put(KEY, 1, "eng1")
    two.put(OTHER, 2, "eng2")
    assert Choices(path, H200, "9.28.0").get(KEY) == (1, "eng1")
    assert set(json.loads(path.read_text())) == {f"{H200}, cuDNN 9.28.0"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["plans.json"]


def test_folder_that_cannot_be_written_is_said_once_and_no_error(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        choices = Choices(tmp_path / "file" / "plans.json", H200, "9.28.0")
        caplog.clear()
        choices.put(KEY, 0, "eng1")
        choices.put(OTHER, 0, "eng1")
    assert choices.get(KEY) == (0, "eng1") and len(caplog.records) == 1


def test_file_lies_in_the_users_cache(tmp_path):
    assert choices_path({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "layerforge" / "cudnn-plans.json"
