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


def test_the_tightest_group_above_the_process_counts(tmp_path):
    membership = tmp_path / "cgroup"
    membership.write_text("4:memory:/old\n0::/user.slice/job.scope\n")
    group = tmp_path / "user.slice" / "job.scope"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("2000000\n")
    assert memory_limit(tmp_path, membership)[0] == 2_000_000
    (group.parent / "memory.max").write_text("1000000\n")
    assert memory_limit(tmp_path, membership)[0] == 1_000_000


def test_a_group_of_the_first_version_below_the_top_counts(tmp_path):
    membership = tmp_path / "cgroup"
    membership.write_text("4:cpu,memory:/box/1\n")
    group = tmp_path / "memory" / "box" / "1"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("1000000\n")
    assert memory_limit(tmp_path, membership)[0] == 1_000_000
