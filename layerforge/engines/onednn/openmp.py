"""The threads of the OpenMP library that came with oneDNN."""

from __future__ import annotations

import os
from typing import Any

from layerforge.core.errors import DeviceError

HARD = 2  # omp_pause_hard: OpenMP ends its threads, and makes new ones when it is called again


class OpenMp:
    """How many threads compute; where oneDNN came without OpenMP, nothing here has an effect.

    A process may be forked after oneDNN has computed: the pool of the calling thread is ended before, since its threads
    would not live on in the child, which would wait for them for ever.
    """

    def __init__(self, dll: Any) -> None:
        self._get, self._set = (getattr(dll, f"omp_{name}", None) for name in ("get_max_threads", "set_num_threads"))
        self._pause = getattr(dll, "omp_pause_resource_all", None)
        self._initial = self._get() if self._get is not None else 0  # what every thread begins with
        self._ended, self._lost = True, False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._end, after_in_child=self._look)

    @property
    def count(self) -> int:
        """How many work for the calling thread."""
        return int(self._get()) if self._get is not None else 1

    def take(self, threads: int) -> int:
        """From now on so many work for the calling thread, or fewer if it was set to fewer (by threadpoolctl); returns
        how many did before.

        Raises DeviceError in a forked process whose parent could not end its pool.
        """
        if self._lost:
            raise DeviceError("this process was forked after oneDNN had computed, and its OpenMP is too old for that",
                              hint='multiprocessing.set_start_method("spawn"), or LAYERFORGE_ENGINE=NONE')
        if self._get is None or self._set is None:
            return threads
        before: int = self._get()
        self._set(threads if before == self._initial else min(threads, before))
        return before

    def give_back(self, before: int) -> None:
        """Puts back what `take` returned."""
        if self._set is not None:
            self._set(before)

    def _end(self) -> None:
        self._ended = self._get is None or (self._pause is not None and self._pause(HARD) == 0)

    def _look(self) -> None:
        self._lost = not self._ended
