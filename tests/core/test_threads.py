"""Work on arrays is shared among threads, as many as the setting says, with the result of one."""

import threading

import numpy as np
import pytest

from layerforge.backends import get_backend
from layerforge.core import threads
from layerforge.net.build import build_net
from layerforge.schema.read import parse_net


def seen_by(limit, length, least=10):
    """The slices and the threads of one shared piece of work."""
    found = []

    def work(part):
        found.append((part.start, part.stop, threading.current_thread().name))

    with threads.limited(limit):
        threads.share(work, length, least)
    return sorted(found)


def test_the_slices_cover_everything_once():
    parts = seen_by(3, 100)
    assert [a for a, _, _ in parts] == [0, 33, 66] and [b for _, b, _ in parts] == [33, 66, 100]


def test_small_work_stays_on_the_caller():
    assert seen_by(4, 19) == [(0, 19, threading.current_thread().name)]
    assert seen_by(1, 1000) == [(0, 1000, threading.current_thread().name)]


def test_an_error_of_any_thread_is_raised():
    def work(part):
        if part.start:
            raise ValueError("second half")

    with threads.limited(2), pytest.raises(ValueError, match="second half"):
        threads.share(work, 100, 10)


def test_the_limit_is_restored():
    before = threads.count()
    with threads.limited(before + 3):
        assert threads.count() == before + 3
    assert threads.count() == before


@pytest.mark.parametrize("rule", ["update_sgd", "update_nesterov"])
def test_an_update_on_several_threads_is_bit_for_bit_that_of_one(rule):
    results = []
    for limit in (1, 3):
        w, g, h = np.random.default_rng(1).standard_normal((3, 500_001)).astype(np.float32)
        with threads.limited(limit):
            getattr(get_backend().ops, rule)(w, g, h, lr=0.1, momentum=0.9, scale=0.5, l2=1e-3)
        results.append((w, g, h))
    for one, several in zip(*results):
        assert np.array_equal(one, several)


@pytest.mark.parametrize(("said", "count"), [("3", 3), ("4,2", 4), ("0", 1)])
def test_the_environment_says_how_many(monkeypatch, said, count):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads.count() == count
    with threads.limited(5):
        assert threads.count() == 5


def test_what_the_environment_says_amiss_does_not_count(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads.count() == threads.usable_cores()[0]


def test_the_tightest_quota_above_the_process_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)), raising=False)
    membership, group = tmp_path / "cgroup", tmp_path / "user.slice" / "job.scope"
    membership.write_text("0::/user.slice/job.scope\n")
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("max 100000\n")
    (group.parent / "cpu.max").write_text("300000 100000\n")
    assert threads.usable_cores(tmp_path, membership) == (3, "control group quota of 3, of 16")


def test_data_workers_are_no_more_than_the_threads(tmp_path):
    cv2 = pytest.importorskip("cv2", reason="pictures need OpenCV")
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.png 0\n")
    fields = f'source: "{tmp_path}/list.txt"'
    text = f'layer {{ name: "d" type: "ImageData" top: "data" top: "label" image_data_param {{ {fields} }} }}'
    for limit, workers in ((1, 1), (3, 3), (64, 4)):
        with threads.limited(limit):
            assert build_net(parse_net(text)).layers[0].threads == workers
