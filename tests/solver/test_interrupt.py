"""Signals: what each asks for, and a real process that gets one."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from tiny_solver import solver_text

from layerforge.solver.interrupt import Interrupts, Request


def test_sigint_asks_to_stop_until_the_end():
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert [interrupts.take(), interrupts.take()] == [Request.STOP, Request.STOP]
    assert interrupts.exit_code == 0


def test_sighup_asks_for_one_snapshot():
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGHUP)
        assert [interrupts.take(), interrupts.take()] == [Request.SNAPSHOT, Request.NONE]


def test_sigterm_stops_with_exit_code_143():
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.take() is Request.STOP
    assert interrupts.exit_code == 143


def test_a_second_sigint_does_not_wait():
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_the_effects_can_be_chosen():
    with Interrupts(sigint="none", sighup="stop") as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert interrupts.take() is Request.NONE
        signal.raise_signal(signal.SIGHUP)
        assert interrupts.take() is Request.STOP


def test_the_old_handlers_come_back():
    before = signal.getsignal(signal.SIGINT)
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """A training run that sends itself the signal of its argument in the fourth iteration."""
    path = tmp_path_factory.mktemp("script") / "train.py"
    path.write_text(textwrap.dedent('''
        import os, signal, sys
        from layerforge.schema.read import parse_solver
        from layerforge.solver.interrupt import Interrupts
        from layerforge.solver.loop import Solver
        from layerforge.solver.observer import Observer

        class Kill(Observer):
            def on_iteration(self, report):
                if report.iteration == 3:
                    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
            def on_message(self, text, source=""):
                print(text, flush=True)

        text = open(os.path.join(os.path.dirname(__file__), "solver.prototxt")).read()
        solver = Solver(parse_solver(text, "solver.prototxt"), observer=Kill())
        with Interrupts() as interrupts:
            solver.requests = interrupts.take
            solver.solve()
        print("at", solver.iter)
        sys.exit(interrupts.exit_code)
    '''))
    (path.parent / "solver.prototxt").write_text(solver_text())
    return path


def run(script, folder, name):
    return subprocess.run([sys.executable, str(script), name], cwd=folder, capture_output=True, text=True, timeout=60)


def snapshots(folder):
    return sorted(name for name in os.listdir(folder) if name.startswith("tiny"))


def test_sigint_finishes_the_iteration_saves_and_says_how_to_go_on(script, tmp_path):
    done = run(script, tmp_path, "SIGINT")
    assert done.returncode == 0 and "at 4" in done.stdout, done.stderr
    assert "To go on: layerforge train --solver solver.prototxt --snapshot tiny_iter_4.solverstate" in done.stdout
    assert snapshots(tmp_path) == ["tiny_iter_4.caffemodel", "tiny_iter_4.solverstate"]


def test_sighup_saves_and_trains_on(script, tmp_path):
    done = run(script, tmp_path, "SIGHUP")
    assert done.returncode == 0 and "at 6" in done.stdout, done.stderr
    assert snapshots(tmp_path) == [f"tiny_iter_{n}.{kind}" for n in (4, 6) for kind in ("caffemodel", "solverstate")]


def test_sigterm_saves_and_exits_143(script, tmp_path):
    done = run(script, tmp_path, "SIGTERM")
    assert done.returncode == 143 and "at 4" in done.stdout, done.stderr
    assert snapshots(tmp_path) == ["tiny_iter_4.caffemodel", "tiny_iter_4.solverstate"]
