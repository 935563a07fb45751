"""A pytest plugin: `-p time_limit --seconds N` ends a run in time. Failures show as they come; what is left then is
counted, and the run fails for it. A test that hangs ends the process 30 seconds later, with its traceback."""

from __future__ import annotations

import faulthandler
import sys
import time

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seconds", type=float, default=460)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(TimeLimit(config.getoption("--seconds")))


class TimeLimit:
    """seconds  after which no test begins"""

    def __init__(self, seconds: float) -> None:
        self.end, self.seconds, self.left = time.monotonic() + seconds, seconds, 0
        faulthandler.dump_traceback_later(seconds + 30, exit=True, file=sys.__stderr__)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if time.monotonic() > self.end:
            self.left += 1
            pytest.skip(f"the {self.seconds:g} seconds are over")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            said = str(report.longrepr).strip().splitlines() or [""]
            print(f"\nFAILED {report.nodeid}: {said[-1]}", flush=True)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        faulthandler.cancel_dump_traceback_later()
        if self.left:
            print(f"\n{self.left} tests did not run: the {self.seconds:g} seconds were over", flush=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
