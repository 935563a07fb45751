"""Records: a source over anything that gives item number i."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from layerforge.core.errors import DataError
from layerforge.core.random import Stream
from layerforge.data.source import Batch, Position


class Records:
    """Batches of `batch_size` items, over the end and around; in a new order in every round when shuffled.

    count   how many items there are
    item    number → its arrays, one per top; called on several threads at once
    shuffle the stream that orders are drawn from
    """

    def __init__(
        self, count: int, item: Callable[[int], Sequence[np.ndarray]], batch_size: int, shuffle: Stream | None = None
    ) -> None:
        if count < 1:
            raise DataError("the source has no items")
        self.count, self.item, self.batch_size, self._stream = count, item, batch_size, shuffle
        self._record = 0
        self._order: tuple[int, np.ndarray] = -1, np.arange(count)

    def shapes(self) -> list[tuple[int, ...]]:
        return [(self.batch_size, *np.shape(array)) for array in self.item(0)]

    def tell(self) -> Position:
        return {"record": self._record, "of": self.count}

    def seek(self, position: Position) -> None:
        if int(position["of"]) != self.count:
            raise DataError(f"the source has {self.count} items, {position['of']} when the state was saved")
        self._record = int(position["record"])

    def read(self) -> tuple[list[int], Position]:
        numbers = [self._number(self._record + i) for i in range(self.batch_size)]
        self._record += self.batch_size
        return numbers, self.tell()

    def make(self, raw: tuple[list[int], Position]) -> Batch:
        numbers, after = raw
        items = [self.item(number) for number in numbers]
        return Batch(tuple(np.stack(arrays) for arrays in zip(*items)), after)

    def close(self) -> None:
        """Nothing is held."""

    def _number(self, record: int) -> int:
        turn, place = divmod(record, self.count)
        if self._stream is None:
            return place
        if self._order[0] != turn:
            self._order = turn, self._stream.at(turn).permutation(self.count)
        return int(self._order[1][place])
