"""The errors a user meets. One shape: place, owner, expected against got, and a hint.

    zoo/lenet/train_val.prototxt:41: layer 'ip1' (InnerProduct): num_output: 0, must be at least 1
      hint: the number of outputs

The command line prints the text and exits 1; a traceback means a bug of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LayerForgeError(Exception):
    """Base of all errors that speak about the user's input or machine.

    message  one sentence that names the owner (layer, file, record), what was expected and what was got
    where    anything whose `str` is "file:line"; None when there is no place in a text
    hint     what to do about it
    """

    def __init__(self, message: str, *, where: object = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.where, self.hint = message, where, hint

    def __str__(self) -> str:
        text = self.message if self.where is None else f"{self.where}: {self.message}"
        return text if self.hint is None else f"{text}\n  hint: {self.hint}"


class PrototxtError(LayerForgeError):
    """A text or value in a prototxt that cannot be read or is out of range."""


class NetError(LayerForgeError):
    """The layers do not make a net: a missing bottom, a cycle, weights that do not fit."""


class LayerError(LayerForgeError):
    """A layer refuses its bottoms or the values that reach it."""


class DataError(LayerForgeError):
    """A file, database, record or picture is missing, broken or foreign."""


class DeviceError(LayerForgeError):
    """A device, driver or library is missing, or out of memory."""


class OutOfMemory(DeviceError):
    """A device is full.

    total      bytes it has
    explained  whether the message says what the net needs
    """

    def __init__(self, message: str, total: int, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.total, self.explained = total, False


class NotRecordable(DeviceError):
    """Something cannot be part of a recorded iteration: the host would look at a value, or memory would be taken."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to a mistyped one, or None if nothing is close."""
    candidates = list(known)
    lowered = {k.lower(): k for k in candidates}
    if name.lower() in lowered:
        return lowered[name.lower()]
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return lowered[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The hint line for a mistyped name, or None."""
    found = nearest(name, known)
    return None if found is None else f"did you mean {found!r}?"
