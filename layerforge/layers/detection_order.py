"""The order in which SSD's C++ leaves boxes of equal scores: that of an introspective sort, which is not stable.

Which boxes survive a cut among equals follows from it, so it is part of the results. The sort is that of GNU's standard
library: quicksort with the median of three as pivot down to 16 items, heap sort if it goes too deep, insertion sort.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

SMALL = 16


def falling(scores: Sequence[float]) -> list[int]:
    """Indices by falling score, equal ones as that sort leaves them."""
    items = list(range(len(scores)))
    if len(items) > 1:
        _quicksort(items, scores, 0, len(items), 2 * (len(items).bit_length() - 1))
        _insertion_sort(items, scores)
    return items


def _quicksort(items: list[int], scores: Sequence[float], first: int, last: int, depth: int) -> None:
    """Parts until no part is larger than SMALL; these stay unsorted."""
    while last - first > SMALL:
        if depth == 0:
            items[first:last] = _heap_sort(items[first:last], scores)
            return
        depth -= 1
        _median_to_front(items, scores, first, first + 1, first + (last - first) // 2, last - 1)
        cut = _partition(items, scores, first + 1, last, scores[items[first]])
        _quicksort(items, scores, cut, last, depth)
        last = cut


def _median_to_front(items: list[int], scores: Sequence[float], front: int, a: int, b: int, c: int) -> None:
    x, y, z = (scores[items[k]] for k in (a, b, c))
    if x > y:
        chosen = b if y > z else c if x > z else a
    else:
        chosen = a if x > z else c if y > z else b
    items[front], items[chosen] = items[chosen], items[front]


def _partition(items: list[int], scores: Sequence[float], first: int, last: int, pivot: float) -> int:
    """Larger scores to the left; both sides stop at equal ones and exchange them."""
    while True:
        while scores[items[first]] > pivot:
            first += 1
        last -= 1
        while pivot > scores[items[last]]:
            last -= 1
        if first >= last:
            return first
        items[first], items[last] = items[last], items[first]
        first += 1


def _heap_sort(part: list[int], scores: Sequence[float]) -> list[int]:
    """The way out of a bad case. Equal scores: the earlier one first, where the original leaves it open."""
    heap = [(-scores[item], place, item) for place, item in enumerate(part)]
    heapq.heapify(heap)
    return [heapq.heappop(heap)[2] for _ in part]


def _insertion_sort(items: list[int], scores: Sequence[float]) -> None:
    for k in range(1, len(items)):
        item, place = items[k], k
        while place and scores[item] > scores[items[place - 1]]:
            items[place] = items[place - 1]
            place -= 1
        items[place] = item
