"""Arrows that pass by the whole net, such as labels to losses: each goes in a lane of its own beside the boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Point = tuple[float, float]
Rectangle = tuple[float, float, float, float]  # left, top, width, height
Curve = tuple[Point, ...]
"""Control points of Bézier curves: the start, then three for each piece."""
LANE, MARGIN, TURN = 12.0, 38.0, 14.0  # between lanes; from the boxes to the first one; above and below boxes
ROUND = 10.0  # the radius of corners


def routes(
    arrows: Sequence[tuple[int, int, int]], boxes: Sequence[Rectangle], others: Sequence[Curve]
) -> dict[int, Curve]:
    """A curve for each (key, source, target), the data flowing down.

    An arrow leaves and enters by the side where nothing is in the way, else it leaves above or enters below. Arrows of
    one source share a lane on each side.
    """
    left = min([box[0] for box in boxes] + [p[0] for curve in others for p in curve]) - MARGIN
    right = max([box[0] + box[2] for box in boxes] + [p[0] for curve in others for p in curve]) + MARGIN
    lanes: dict[tuple[int, bool], float] = {}
    made = {}
    for key, source, target in arrows:
        free = [[_free(boxes, i, to_right) for i in (source, target)] for to_right in (True, False)]
        to_right = sum(free[0]) >= sum(free[1])
        count = sum(side is to_right for _, side in lanes)
        lane = lanes.setdefault((source, to_right), right + LANE * count if to_right else left - LANE * count)
        ends = free[0] if to_right else free[1]
        start = _leave(boxes[source], to_right, ends[0], -TURN)
        end = _leave(boxes[target], to_right, ends[1], boxes[target][3] + TURN)
        made[key] = _rounded([*start, (lane, start[-1][1]), (lane, end[-1][1]), *reversed(end)])
    return made


def _free(boxes: Sequence[Rectangle], i: int, to_right: bool) -> bool:
    """Whether no box stands beside this one on that side, at the height of its middle."""
    x, y, _, h = boxes[i]
    return not any(top < y + h / 2 < top + high and (left > x) is to_right
                   for k, (left, top, _, high) in enumerate(boxes) if k != i)


def _leave(box: Rectangle, to_right: bool, free: bool, above: float) -> list[Point]:
    """The first points of a way from a box: out of its side, or where that is not free out of its top or bottom."""
    x, y, w, h = box
    if free:
        return [(x + w if to_right else x, y + h / 2)]
    return [(x + w / 2, y if above < 0 else y + h), (x + w / 2, y + above)]


def _rounded(points: Sequence[Point]) -> Curve:
    """Straight lines through the points, their corners rounded."""
    return tuple(_pieces(list(dict.fromkeys(points))))


def _pieces(points: Sequence[Point]) -> Iterator[Point]:
    here = points[0]
    yield here
    for corner, after in zip(points[1:], points[2:]):
        start, end = _towards(corner, here), _towards(corner, after)
        yield from (here, start, start, corner, corner, end)
        here = end
    yield from (here, points[-1], points[-1])


def _towards(corner: Point, other: Point) -> Point:
    """The point at the radius from a corner on the way to another point, at most half that way."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = (dx * dx + dy * dy) ** 0.5
    share = min(0.5, ROUND / length) if length else 0.0
    return corner[0] + share * dx, corner[1] + share * dy
