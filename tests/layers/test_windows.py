"""Windows cut out of pictures."""

import cv2
import numpy as np
import pytest

from layerforge.core.errors import DataError, LayerError
from layerforge.data.windows import grow, rounded
from layerforge.layers.windows import WindowData
from layerforge.netdef.types import Phase
from layerforge.testing.harness import Rig

SIZE = 20


def picture():
    """Blue is 10 x, green is 10 y, red is 99."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.stack([10 * x, 10 * y, np.full_like(x, 99)], axis=2).astype(np.uint8)


@pytest.fixture
def rig(tmp_path):
    """Makes a layer over one picture with these windows: (class, overlap, x1, y1, x2, y2)."""
    cv2.imwrite(str(tmp_path / "a.png"), picture())

    def make(windows, batch_size=4, crop=4, transform=None, text=None, **more):
        lines = ["# 0", "a.png", "3", str(SIZE), str(SIZE), str(len(windows))]
        (tmp_path / "w.txt").write_text(text or "\n".join(lines + [" ".join(map(str, window)) for window in windows]))
        case = {"source": "w.txt", "batch_size": batch_size, **more}
        case["transform_param"] = {"crop_size": crop, **(transform or {})}
        return Rig(WindowData, case, phase=Phase.TRAIN, folder=str(tmp_path))

    return make


OBJECT, BACKGROUND = (7, 0.9, 2, 4, 5, 7), (3, 0.1, 10, 10, 13, 13)


def test_background_comes_first_then_the_share_of_objects(rig):
    made = rig([OBJECT, BACKGROUND])
    data, labels = made.forward()
    assert labels.tolist() == [0, 0, 0, 7]
    np.testing.assert_array_equal(data[3], picture().transpose(2, 0, 1)[:, 4:8, 2:6])
    np.testing.assert_array_equal(data[0], picture().transpose(2, 0, 1)[:, 10:14, 10:14])
    made.layer.close()


def test_windows_between_the_thresholds_are_left_out(rig):
    shares = {"fg_fraction": 0.5, "fg_threshold": 0.6, "bg_threshold": 0.4}
    made = rig([OBJECT, BACKGROUND, (5, 0.5, 0, 0, 3, 3)], batch_size=8, **shares)
    assert {label for _ in range(5) for label in made.forward()[1].tolist()} == {0, 7}
    made.layer.close()


def test_windows_are_mirrored_by_chance(rig):
    made = rig([OBJECT, BACKGROUND], batch_size=40, transform={"mirror": True})
    blue = made.forward()[0][:, 0, 0]
    falling = blue[:, 0] > blue[:, 3]
    assert falling.any() and not falling.all()
    made.layer.close()


def test_the_mean_goes_before_the_scale(rig):
    made = rig([OBJECT, BACKGROUND], batch_size=1, transform={"mean_value": [10.0, 20.0, 30.0]}, scale=0.5)
    want = (picture()[10:14, 10:14].transpose(2, 0, 1) - np.array([10, 20, 30.0])[:, None, None]) / 2
    np.testing.assert_array_equal(made.forward()[0][0], want)
    made.layer.close()


def test_context_outside_of_the_picture_is_zero_after_the_mean(rig):
    corner = (7, 0.9, 0, 0, 3, 3)
    mean = {"mean_value": [5.0]}
    made = rig([corner, BACKGROUND], batch_size=1, crop=8, fg_fraction=1.0, context_pad=2, transform=mean)
    red = made.forward()[0][0, 2]
    rows = np.flatnonzero(red.any(axis=1))
    assert rows[0] == 2 == np.flatnonzero(red.any(axis=0))[0]  # the context before the window lies outside
    assert not red[:2].any() and not red[:, :2].any() and (red[2:, 2:] == 94).all()
    made.layer.close()


def test_square_takes_the_square_of_the_longer_side(rig):
    made = rig([(7, 0.9, 6, 4, 9, 11), BACKGROUND], batch_size=1, crop=9, fg_fraction=1.0, crop_mode="square")
    blue = made.forward()[0][0, 0]
    np.testing.assert_array_equal(blue[0], 10 * np.arange(4, 13))  # x 4 … 12 around the centre 8
    made.layer.close()


def test_a_box_grows_around_its_centre():
    assert grow((2, 4, 5, 7), 2.0, False) == (0, 2, 8, 10)
    assert grow((6, 4, 9, 11), 1.0, True) == (4, 4, 12, 12)


def test_halves_go_away_from_zero():
    assert [rounded(x) for x in (0.5, -0.5, 1.5, -1.5, 2.4, -2.4)] == [1, -1, 2, -2, 2, -2]


def test_a_resumed_layer_draws_the_same_windows(rig):
    windows = [OBJECT, *[(0, 0.0, i, i, i + 3, i + 3) for i in range(12)]]
    first = rig(windows, cache_images=True)
    first.forward()
    state = first.layer.state()
    want = first.forward()[0]
    second = rig(windows)
    second.layer.load_state(state)
    np.testing.assert_array_equal(second.forward()[0], want)
    first.layer.close()
    second.layer.close()


@pytest.mark.parametrize("windows, text, message", [
    ([OBJECT], None, "has no background windows"),
    ([BACKGROUND], None, "has no foreground windows"),
    ([(0, 0.9, 1, 1, 2, 2)], None, "a foreground window of class 0"),
    ([], "# 0 a.png 3 20", "cut off behind picture 0"),
    ([], "a.png", "'a.png' where '#'"),
    ([], "# 0 a.png 3 20 x", "invalid literal")])
def test_a_bad_window_file_is_refused(rig, windows, text, message):
    with pytest.raises(DataError, match=message):
        rig(windows, text=text)


def test_a_window_beyond_its_picture_is_named(rig):
    made = rig([OBJECT, (0, 0.0, 15, 15, 25, 18)])
    with pytest.raises(DataError, match=r"a\.png: the window \(15, 15, 25, 18\) is not inside the picture \(20 × 20\)"):
        made.forward()
    made.layer.close()


def test_a_crop_size_is_needed(rig):
    with pytest.raises(LayerError, match="needs a crop_size"):
        rig([OBJECT, BACKGROUND], crop=0)


def test_a_context_as_large_as_the_crop_is_refused(rig):
    with pytest.raises(LayerError, match="context_pad: 2 leaves nothing of crop_size: 4"):
        rig([OBJECT, BACKGROUND], context_pad=2)
