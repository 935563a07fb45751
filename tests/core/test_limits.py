"""The memory a process may take."""

from layerforge.core.limits import memory_limit


def test_the_control_group_limits_memory(tmp_path):
    (tmp_path / "memory.max").write_text("123456\n")
    assert memory_limit(tmp_path) == (123456, "the control group's limit")


def test_an_older_control_group_limits_memory(tmp_path):
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("654321\n")
    assert memory_limit(tmp_path)[0] == 654321


def test_without_a_control_group_the_machine_is_the_limit(tmp_path):
    (tmp_path / "memory.max").write_text("max\n")
    limit, why = memory_limit(tmp_path)
    assert limit > 2**27 and why == "the machine's memory"
