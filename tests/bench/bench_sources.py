"""What databases deliver on their own: `python -m pytest -s tests/bench/bench_sources.py`."""

import time

import cv2
import lmdb
import numpy as np
import pytest

from layerforge.data.datum import make_datum
from layerforge.data.writer import write_lmdb
from layerforge.layers.database import Data
from layerforge.netdef.types import Phase
from layerforge.testing import Rig

RNG = np.random.default_rng(0)
LEAST_SECONDS = 1.0
CROP = {"crop_size": 227, "mirror": True, "mean_value": [104.0, 117.0, 123.0]}


def jpeg():
    """A picture about as busy as a photograph, some 20 KB."""
    coarse = RNG.integers(0, 256, (32, 32, 3), np.uint8)
    return cv2.imencode(".jpg", cv2.resize(coarse, (256, 256), interpolation=cv2.INTER_CUBIC))[1].tobytes()


@pytest.mark.parametrize("name, shape, batch_size, transform", [
    ("MNIST, raw", (1, 28, 28), 64, {"scale": 0.00390625}),
    ("CIFAR-10, raw", (3, 32, 32), 100, {}),
    ("CIFAR-10, raw, crop and mirror", (3, 32, 32), 100, {"crop_size": 28, "mirror": True}),
    ("ImageNet, raw, crop and mirror", (3, 256, 256), 32, CROP),
    ("ImageNet, JPEG, crop and mirror", None, 32, CROP),
])
def test_pictures_per_second(name, shape, batch_size, transform, tmp_path):
    if shape is None:
        records = [make_datum(jpeg(), i, encoded=True) for i in range(128)]
    else:
        count = min(2000, 2**26 // int(np.prod(shape)))
        records = [make_datum(RNG.integers(0, 256, shape, np.uint8), i % 10) for i in range(count)]
    write_lmdb(str(tmp_path / "db"), ((b"%08d" % i, record) for i, record in enumerate(records)))
    case = {"source": str(tmp_path / "db"), "batch_size": batch_size, "backend": "LMDB", "transform_param": transform}
    rig = Rig(Data, case, tops=2, phase=Phase.TRAIN)
    for _ in range(5):  # the batches fetched before the clock runs
        rig.step.forward()
    count, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < LEAST_SECONDS:
        rig.step.forward()
        count += batch_size
    assert count and np.isfinite(rig.tops[0].data.array()).all()
    rig.layer.close()
    versions = f"OpenCV {cv2.__version__}, LMDB {'.'.join(map(str, lmdb.version()))}, NumPy {np.__version__}"
    print(f"\n{name:34}{count / seconds:10,.0f} pictures/s   {rig.layer.threads} threads   {versions}", end="")
