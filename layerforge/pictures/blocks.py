"""The spine of a net, the boxes that all data pass, and the blocks between them: what keeps a picture upright."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

_BRANCH = re.compile(r"(?P<group>.+?)_branch\d")
LEAST_BLOCK = 3  # boxes that make a block with a frame


def spine(count: int, arrows: Iterable[tuple[int, int]]) -> list[int]:
    """The boxes that no arrow passes by, in order. Arrows go from a box to a later one."""
    passing = [0] * (count + 1)  # by how many arrows each box is passed
    for source, target in arrows:
        if target > source + 1:
            passing[source + 1] += 1
            passing[target] -= 1
    found, open_arrows = [], 0
    for box in range(count):
        open_arrows += passing[box]
        if open_arrows == 0:
            found.append(box)
    return found


def groups(names: Sequence[str], upright: Sequence[int]) -> list[str]:
    """The group of each box, "" for none: what stands before a slash or `_branch`, or what a block's names share.

    "inception_3a/1x1" is in inception_3a, "res2a_branch2a" in res2a; "a1_3x3" and "a1_concat" are in a1, if a block.
    """
    found = [_written(name) for name in names]
    known = set(found) - {""}
    found = [own or (name if name in known else "") for own, name in zip(found, names)]
    for start, end in zip(upright, upright[1:]):
        block = [i for i in range(start + 1, end + 1) if not found[i]]
        if len(block) == end - start >= LEAST_BLOCK:
            shared = _shared([names[i] for i in block[:-1]])
            joins = shared and (names[end] == shared or names[end].startswith(f"{shared}_"))
            for i in block if joins else block[:-1]:
                found[i] = shared
    size = Counter(found)
    return [group if size[group] > 1 else "" for group in found]


def _written(name: str) -> str:
    """The group that a name tells by itself."""
    branch = _BRANCH.match(name)
    return name.partition("/")[0] if "/" in name else branch["group"] if branch else ""


def _shared(names: Sequence[str]) -> str:
    """The parts between underscores that all names begin with."""
    parts = [name.split("_") for name in names]
    same = 0
    while all(len(each) > same + 1 for each in parts) and len({each[same] for each in parts}) == 1:
        same += 1
    return "_".join(parts[0][:same])
