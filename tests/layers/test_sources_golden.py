"""Data layers against what Caffe gave, from its own databases and pictures."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from layerforge.layers.database import Data
from layerforge.layers.hdf5 import HDF5Data
from layerforge.layers.images import ImageData
from layerforge.layers.memory import MemoryData
from layerforge.netdef.types import Phase
from layerforge.testing.harness import Rig

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def lmdb(name, batch_size, **transform):
    case = {"source": name, "batch_size": batch_size, "backend": "LMDB"}
    return {**case, "transform_param": transform} if transform else case


def images(name, batch_size, transform=None, **more):
    case = {"source": name, "batch_size": batch_size, **more}
    return {**case, "transform_param": transform} if transform else case


MEAN = "mean.binaryproto"
CASES = {
    "Data__lmdb": (Data, lmdb("db_lmdb", 8)),
    "Data__lmdb_crop_mean": (Data, lmdb("db_lmdb", 4, crop_size=21, mean_file=MEAN)),
    "Data__lmdb_gray": (Data, lmdb("db_gray_lmdb", 6)),
    "Data__lmdb_mean_scale": (Data, lmdb("db_lmdb", 5, mean_file=MEAN, scale=0.0125)),
    "Data__lmdb_mean_value": (Data, lmdb("db_lmdb", 4, mean_value=[104, 117, 123], scale=0.5)),
    "Data__lmdb_mean_value1": (Data, lmdb("db_lmdb", 3, mean_value=[100])),
    "Data__lmdb_no_label": (Data, lmdb("db_lmdb", 3)),
    "Data__old_fields": (Data, {**lmdb("db_lmdb", 3), "scale": 0.5, "crop_size": 16, "mean_file": MEAN}),
    "Data__encoded": (Data, lmdb("db_encoded_lmdb", 4, crop_size=18, force_color=True)),
    "Data__encoded_gray": (Data, lmdb("db_encoded_lmdb", 4, force_gray=True)),
    "Data__features": (Data, lmdb("features/ip_lmdb", 7)),
    "Data__features4d": (Data, lmdb("features/pool_lmdb", 4, scale=2)),
    "ImageData__color": (ImageData, images("list_png.txt", 5)),
    "ImageData__gray": (ImageData, images("list_png.txt", 4, is_color=False)),
    "ImageData__jpeg": (ImageData, images("list.txt", 6)),
    "ImageData__crop_mean_file": (ImageData, images("list_png.txt", 3, {"crop_size": 20, "mean_file": MEAN})),
    "ImageData__crop_mean_value": (ImageData, images("list_png.txt", 3, {"crop_size": 15, "mean_value": [90, 100, 110], "scale": 0.1})),
    "ImageData__resize_up": (ImageData, images("list_png.txt", 2, new_height=45, new_width=39)),
    "ImageData__resize_down": (ImageData, images("list_sizes.txt", 3, root_folder="images/", new_height=13, new_width=17)),
    "ImageData__sizes_batch1": (ImageData, images("list_sizes.txt", 1, root_folder="images/")),
}


@pytest.mark.parametrize("name", CASES)
def test_batches_are_caffes(name):
    layer, case = CASES[name]
    golden = np.load(GOLDEN / "data" / f"{name}.npz")
    tops = ["data", "label"][: 1 if "batch0.label" not in golden else 2]
    rig = Rig(layer, case, tops=len(tops), phase=Phase.TEST, folder=str(GOLDEN / "files"))
    slack = float(golden["absatol"]) if "absatol" in golden else 0
    for k in range(int(golden["batches"])):
        for top, got in zip(tops, rig.forward()):
            want = golden[f"batch{k}.{top}"].astype(np.float32)
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 + slack)
    rig.layer.close()


@pytest.mark.parametrize("name, tops", [("HDF5Data__files", ("data", "label")), ("HDF5Data__types", ("f64", "i32", "data"))])
def test_hdf5_rows_are_caffes(name, tops, tmp_path, monkeypatch):
    golden = np.load(GOLDEN / "data" / f"{name}.npz")
    for key in golden:
        if key.startswith("file."):
            (tmp_path / key[5:]).write_bytes(golden[key].tobytes())
    monkeypatch.chdir(tmp_path)
    case = {"source": "list.h5.txt", "batch_size": len(golden[f"batch0.{tops[0]}"])}
    rig = Rig(HDF5Data, case, tops=len(tops), run_setup=False)
    rig.layer.definition = dataclasses.replace(rig.layer.definition, tops=tops)
    rig.step.setup()
    for k in range(int(golden["batches"])):
        for top, got in zip(tops, rig.forward()):
            np.testing.assert_array_equal(got, golden[f"batch{k}.{top}"])
    rig.layer.close()


def test_memory_rows_are_caffes():
    golden = np.load(GOLDEN / "data" / "MemoryData__basic.npz")
    rig = Rig(MemoryData, {"batch_size": 3, "channels": 2, "height": 4, "width": 3})
    rig.layer.set_arrays(golden["mem.data"], golden["mem.label"])
    for k in range(int(golden["batches"])):
        data, label = rig.forward()
        np.testing.assert_array_equal(data, golden[f"batch{k}.data"])
        np.testing.assert_array_equal(label, golden[f"batch{k}.label"])


def crops_of(picture, crop):
    """Every crop of a picture (C, H, W) and its mirror image, by (top, left, mirrored)."""
    height, width = picture.shape[1:]
    side = crop or 0
    for top in range(height - side + 1 if crop else 1):
        for left in range(width - side + 1 if crop else 1):
            window = picture[:, top : top + (side or height), left : left + (side or width)]
            yield (top, left, False), window
            yield (top, left, True), window[:, :, ::-1]


@pytest.mark.parametrize("name, phase", [("Data__train_crop_mirror", Phase.TRAIN), ("Data__test_mirror", Phase.TEST)])
def test_random_views_are_views_of_the_right_pictures(name, phase):
    golden = np.load(GOLDEN / "random" / f"{name}.npz")
    raw, crop = golden["raw"].astype(np.float32), int(golden["crop"])
    mean, scale = float(golden["mean"]), float(golden["scale"])
    transform = {"crop_size": crop, "mirror": True, "scale": scale, "mean_value": [mean]}
    rig = Rig(Data, lmdb(str(GOLDEN / "files" / "db_gray_lmdb"), 4, **transform), tops=2, phase=phase)
    seen = []
    for batch in range(10):
        data, labels = rig.forward()
        for i, (item, label) in enumerate(zip(data, labels)):
            record = (4 * batch + i) % len(raw)
            assert label == golden["label"][record]
            seen += [at for at, view in crops_of(raw[record], crop) if np.abs(view - (item / scale + mean)).max() < 0.01][:1]
    assert len(seen) == 40
    assert 0.25 < np.mean([mirrored for _, _, mirrored in seen]) < 0.75
    assert (len({top for top, _, _ in seen}) > 4) == (crop > 0)
    rig.layer.close()


def test_a_shuffled_round_holds_every_picture_once():
    golden = np.load(GOLDEN / "random" / "ImageData__shuffle.npz")
    count = len(golden["raw"])
    case = images("list_png.txt", count, shuffle=True, is_color=False)
    rig = Rig(ImageData, case, phase=Phase.TRAIN, folder=str(GOLDEN / "files"))
    raw = golden["raw"].astype(np.float32)
    rounds = [[int(np.abs(raw - item).max(axis=(1, 2, 3)).argmin()) for item in rig.forward()[0]] for _ in range(3)]
    assert all(sorted(order) == list(range(count)) for order in rounds)
    assert rounds[0] != rounds[1] != rounds[2]
    rig.layer.close()
