"""A pytest plugin that notes which kernels run on the CPU: `python -m pytest -p kernel_census --census FILE …`

Their names are written into FILE, one a line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cpu_kernels import CpuKernels

SEEN: set[str] = set()
run = CpuKernels.run


def noted(self: CpuKernels, file: str, kernel: str, *rest: Any, **named: Any) -> None:
    SEEN.add(f"{file} {kernel}")
    run(self, file, kernel, *rest, **named)


CpuKernels.run = noted  # type: ignore[method-assign]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--census", type=Path, required=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.getoption("--census").write_text("\n".join(sorted(SEEN)))
