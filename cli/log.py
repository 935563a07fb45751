"""Where Caffe's log lines go: to standard error when nobody watches, into a file when somebody does or wishes it.

    I1120 18:27:58.910188 14308 caffe.cpp:304] Batch 0, accuracy = 0.4
"""

from __future__ import annotations

import logging
import sys
from datetime import datetime
from typing import TextIO

from layerforge.core.errors import DataError
from layerforge.solver.caffe_log import prefix


class Log(logging.Handler):
    """Takes Caffe-style lines and the warnings of the package. Use it as a context.

    path    the log file; "" writes none
    echo    whether lines go to standard error; None: when it is no terminal, so that `2>&1 | tee log` gets them
    """

    def __init__(self, path: str = "", echo: bool | None = None) -> None:
        super().__init__(logging.INFO)
        self.path = path
        self.echo = not sys.stderr.isatty() if echo is None else echo
        self._file: TextIO | None = None

    def __enter__(self) -> Log:
        if self.path:
            try:
                self._file = open(self.path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115  closed on exit
            except OSError as error:
                raise DataError(f"the log file {self.path!r} cannot be written: {error.strerror}") from None
        logger = logging.getLogger("layerforge")
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("layerforge")
        logger.removeHandler(self)
        logger.propagate = True
        if self._file is not None:
            self._file.close()
            self._file = None

    def line(self, source: str, text: str) -> None:
        """Writes one line. source: the file and line of Caffe that says such things."""
        self.write(prefix(datetime.now(), source) + text + "\n")

    def write(self, text: str) -> None:
        """Writes a text as it is; with `flush` this makes the log a stream."""
        if self.echo:
            sys.stderr.write(text)
        if self._file is not None:
            self._file.write(text)

    def flush(self) -> None:
        """Nothing to do: both ends write line by line."""

    def emit(self, record: logging.LogRecord) -> None:
        """A message of the package: warnings are shown on a terminal too."""
        text = record.getMessage()
        severity = "E" if record.levelno >= logging.ERROR else "W" if record.levelno >= logging.WARNING else "I"
        self.write(prefix(datetime.now(), f"{record.filename}:{record.lineno}", severity) + text + "\n")
        if severity != "I" and not self.echo:
            print(f"layerforge: {'error' if severity == 'E' else 'warning'}: {text}", file=sys.stderr)
