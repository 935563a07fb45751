"""Source: where batches come from. Reading is in order and quick; making a batch may run on several threads at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

Position = Mapping[str, Any]
"""Where a source stands: plain numbers and texts, to be saved in a state. "record" counts over all rounds."""


class Batch(NamedTuple):
    """What one forward puts into the tops.

    arrays  host arrays; or, of pictures that a device decoded, what has a shape and is written by `write(blob, …)`
    """

    arrays: tuple[Any, ...]
    after: Position  # where the next batch starts


class Source(Protocol):
    """An endless sequence of batches.

    `read` is called by one thread at a time, in order; `make` by several, each with what `read` returned.
    """

    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of a batch's arrays, from the first record."""

    def tell(self) -> Position:
        """Where the next `read` starts."""

    def seek(self, position: Position) -> None:
        """Goes to where `tell` was.

        Raises DataError when the data is not what it was.
        """

    def read(self) -> Any:
        """The raw records of the next batch."""

    def make(self, raw: Any) -> Batch:
        """Decodes and transforms them."""

    def close(self) -> None:
        """Gives files back."""
