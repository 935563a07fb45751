"""The plans that were chosen, kept in a file, so that they are timed once on a kind of device."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from layerforge.core.errors import DataError
from layerforge.core.files import replacing
from layerforge.engines.cudnn.graphs import Key

log = logging.getLogger("layerforge")


class Choices:
    """graph → number and name of its plan, for one kind of device and one version of cuDNN.

    path    None: nothing is kept
    device  its name and compute capability
    """

    def __init__(self, path: Path | None, device: str, version: str) -> None:
        self._path, self._where = path, f"{device}, cuDNN {version}"
        self._all = read(path) if path is not None else {}

    def get(self, key: Key) -> tuple[int, str] | None:
        held = self._all.get(self._where, {}).get(repr(key))
        return None if held is None else (held[0], held[1])

    def put(self, key: Key, index: int, name: str) -> None:
        """Keeps the choice, beside those that other processes have kept meanwhile."""
        self._all.setdefault(self._where, {})[repr(key)] = [index, name]
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            for where, theirs in read(self._path).items():
                self._all[where] = {**theirs, **self._all.get(where, {})}
            with replacing(str(self._path)) as temporary:
                Path(temporary).write_text(json.dumps(self._all, indent=1), "utf-8")
        except (OSError, DataError) as error:
            log.warning("cuDNN's plans are not kept for the next run: %s", error)
            self._path = None


def read(path: Path) -> dict[str, dict[str, list[Any]]]:
    """What the file keeps; nothing, with a warning, where it is broken."""
    try:
        found = json.loads(path.read_text("utf-8"))
        if not _is_whole(found):
            raise ValueError("it is no list of plans")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s is not read, and cuDNN's plans are timed again: %s", path, error)
        return {}
    return dict(found)


def _is_whole(found: Any) -> bool:
    return isinstance(found, dict) and all(
        isinstance(part, dict) and all(
            isinstance(held, list) and [type(each) for each in held] == [int, str] and held[0] >= 0
            for held in part.values()
        )
        for part in found.values()
    )


def choices_path(environment: Any = os.environ) -> Path:
    """Where chosen plans are kept."""
    base = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "layerforge" / "cudnn-plans.json"
