"""Log lines reach standard error or a file, in Caffe's form."""

from __future__ import annotations

import logging
import re

import pytest

from layerforge.cli.log import Log
from layerforge.core.errors import DataError

LINE = re.compile(r"([IWE])(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{6}) +\d+ (\S+:\d+)\] (.*)")
"""What Caffe's own parse_log takes apart: month and day are four digits, without a year."""


def test_a_line_is_one_that_old_parsers_read(capsys):
    with Log(echo=True) as log:
        log.line("solver.cpp:239", "Iteration 0, loss = 2.3")
    match = LINE.fullmatch(capsys.readouterr().err.strip())
    assert match and match[1] == "I" and 1 <= int(match[2]) <= 12 and 1 <= int(match[3]) <= 31
    assert match[8] == "solver.cpp:239" and match[9] == "Iteration 0, loss = 2.3"


def test_lines_go_to_standard_error_when_nobody_watches(capsys):
    with Log() as log:  # the captured stream is no terminal
        log.line("a.cpp:1", "x")
    assert LINE.fullmatch(capsys.readouterr().err.strip())


def test_on_a_terminal_lines_go_to_the_file_alone(tmp_path, capsys):
    with Log(str(tmp_path / "log"), echo=False) as log:
        log.line("a.cpp:1", "x")
    assert capsys.readouterr().err == ""
    assert LINE.fullmatch((tmp_path / "log").read_text().strip())


def test_the_file_is_continued(tmp_path):
    for _ in range(2):
        with Log(str(tmp_path / "log"), echo=False) as log:
            log.line("a.cpp:1", "x")
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_warnings_of_the_package_are_lines(capsys):
    with Log(echo=True):
        logging.getLogger("layerforge").warning("old text")
    assert LINE.fullmatch(capsys.readouterr().err.strip())[1] == "W"


def test_warnings_are_shown_on_a_terminal_too(capsys):
    with Log(echo=False):
        logging.getLogger("layerforge").warning("old text")
    assert capsys.readouterr().err == "layerforge: warning: old text\n"


def test_the_package_log_is_left_as_it_was():
    logger = logging.getLogger("layerforge")
    before = list(logger.handlers), logger.propagate
    with Log(echo=False):
        pass
    assert (list(logger.handlers), logger.propagate) == before


def test_a_file_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot be written"), Log(str(tmp_path / "none" / "log")):
        pass
