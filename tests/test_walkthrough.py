"""The walks of docs/data.md, with their results: pictures through convert, mean, train, extract, classify."""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import shlex
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from layerforge.cli.dataset import digits_table
from layerforge.cli.main import main
from layerforge.data.images import resize

ROOT = Path(__file__).resolve().parents[1]
ITERATIONS = 120  # instead of 500: enough for the digits, not for the last percents
LENET_ITERATIONS = 40  # instead of 10000
pytestmark = pytest.mark.slow
HIT = re.compile(r'^[\d.]+ - "(\d)"$', re.M)


def commands(part):
    """The lines of a part of the page."""
    walk = (ROOT / "docs" / "data.md").read_text(encoding="utf-8").split("\n## ")[part]
    return [line for block in re.findall(r"^```sh\n(.*?)^```", walk, re.S | re.M) for line in block.splitlines()]


def run(line):
    """What the command prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main(shlex.split(line)[1:])
    assert code == 0, f"{line}\n{out.getvalue()}"
    return out.getvalue()


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """The folder after the first walk, and what every command printed."""
    folder = tmp_path_factory.mktemp("walk")
    shutil.copytree(ROOT / "docs", folder / "docs")
    solver = folder / "docs" / "data" / "solver.prototxt"
    solver.write_text(solver.read_text().replace("max_iter: 500", f"max_iter: {ITERATIONS}"))
    printed = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in commands(1):
            printed[line.split()[1]] = run(line.replace("iter_500", f"iter_{ITERATIONS}"))
    return folder, printed


def test_the_walk_visits_every_station(walk):
    assert set(walk[1]) >= {"dataset", "convert_imageset", "compute_image_mean", "train", "extract_features",
                            "classify"}


def test_features_of_the_test_pictures_tell_the_digits_apart(walk):
    folder, _ = walk
    features, labels = np.load(folder / "ip1.npy"), np.load(folder / "label.npy").astype(int)
    assert features.shape == (360, 32) and len(labels) == 360
    means = np.stack([features[:180][labels[:180] == digit].mean(0) for digit in range(10)])
    nearest = ((features[180:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == labels[180:]).mean() > 0.8


def test_sevens_are_taken_for_sevens(walk):
    folder, printed = walk
    hits = HIT.findall(printed["classify"])
    assert len(hits) == len(list((folder / "pictures" / "7").glob("*.jpg")))
    assert np.mean([hit == "7" for hit in hits]) > 0.9


def test_fine_tuning_says_what_it_took(walk):
    assert "  taken: conv1, ip1, ip2" in walk[1]["train"]


def test_classify_prepares_pictures_as_training_did(walk):
    """The files of the test list, classified from disk, score as the test database does under the trained net."""
    folder, _ = walk
    test = dict(line.split() for line in (folder / "pictures" / "test.txt").read_text().splitlines())
    (folder / "some").mkdir(exist_ok=True)
    for name in list(test)[:90]:
        shutil.copy(folder / "pictures" / name, folder / "some" / f"{test[name]}-{Path(name).name}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        line = next(line for line in commands(1) if "classify" in line)
        printed = run(line.replace("iter_500", f"iter_{ITERATIONS}").replace("pictures/7", "some"))
    truth = re.findall(r"Prediction for some/(\d)-", printed)
    assert np.mean([a == b for a, b in zip(truth, HIT.findall(printed))]) > 0.85


def write_idx(path, values):
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


def test_the_second_walk_takes_mnists_files_through_lenet(walk, tmp_path, monkeypatch):
    """The digits stand in for MNIST: of its size, in its files."""
    with gzip.open(digits_table(), "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    pictures = np.stack([resize(row[:64].reshape(8, 8, 1) * 15, 28, 28)[:, :, 0] for row in rows])
    for part, chosen in (("train", slice(0, 1280)), ("t10k", slice(1280, None))):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", pictures[chosen])
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", rows[chosen, 64])
    shutil.copytree(ROOT / "zoo" / "lenet", tmp_path / "zoo" / "lenet")
    solver = tmp_path / "zoo" / "lenet" / "solver.prototxt"
    text = solver.read_text().replace("max_iter: 10000", f"max_iter: {LENET_ITERATIONS}").replace("test_iter: 100",
                                                                                                 "test_iter: 1")
    solver.write_text(text)
    shutil.copytree(walk[0] / "pictures" / "7", tmp_path / "pictures" / "7")
    monkeypatch.chdir(tmp_path)
    printed = {}
    for line in commands(2):
        line = line.replace("--from FOLDER", f"--from {tmp_path}").replace("iter_10000", f"iter_{LENET_ITERATIONS}")
        printed[line.split()[1]] = run(line)
    assert "ip1_lmdb: 200 rows of ip1" in printed["extract_features"]
    assert "500×1×1 floats" in printed["inspect"]
    assert np.mean([hit == "7" for hit in HIT.findall(printed["classify"])]) > 0.7
