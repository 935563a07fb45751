"""Data layers: positions, resume, threads, and what they say of bad input."""

import dataclasses
import gc
import threading
import weakref

import cv2
import h5py
import numpy as np
import pytest

from layerforge.core.errors import DataError, LayerError, PrototxtError
from layerforge.data.datum import make_datum
from layerforge.data.hdf5_writer import Hdf5Writer
from layerforge.layers.database import Data
from layerforge.layers.hdf5 import HDF5Data, HDF5Output
from layerforge.layers.images import ImageData
from layerforge.layers.memory import MemoryData
from layerforge.netdef.types import Phase
from layerforge.testing.harness import Rig


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("layerforge-data")]


def data_rig(path, batch_size=4, phase=Phase.TRAIN, seed=1, transform=None, **more):
    case = {"source": path, "batch_size": batch_size, "backend": "LMDB", **more}
    return Rig(Data, {**case, "transform_param": transform} if transform else case, tops=2, phase=phase, seed=seed)


@pytest.fixture
def image_list(tmp_path):
    """A list of 7 pictures, 6 × 5, of which number i is i everywhere and has label i."""
    lines = []
    for i in range(7):
        cv2.imwrite(str(tmp_path / f"picture {i}.png"), np.full((6, 5, 3), i, np.uint8))
        lines.append(f"picture {i}.png {i}")
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "list.txt")


@pytest.fixture
def hdf5_list(tmp_path):
    """Files of 5 and 3 rows; rows hold 0 … 7."""
    for name, rows in (("a.h5", range(5)), ("b.h5", range(5, 8))):
        with h5py.File(tmp_path / name, "w") as file:
            file["x"] = np.array(rows, np.float64)[:, None].repeat(2, axis=1)
            file["t"] = np.array(rows)
    (tmp_path / "list.txt").write_text("a.h5\nb.h5\n")
    return str(tmp_path / "list.txt")


def hdf5_rig(source, batch_size=3, tops=("x", "t"), **more):
    folder = source.rpartition("/")[0]
    case = {"source": source, "batch_size": batch_size, **more}
    rig = Rig(HDF5Data, case, tops=len(tops), run_setup=False, folder=folder)
    rig.layer.definition = dataclasses.replace(rig.layer.definition, tops=tops)
    rig.step.setup()
    return rig


def image_rig(source, batch_size=3, **more):
    return Rig(ImageData, {"source": source, "batch_size": batch_size, **more}, folder=source.rpartition("/")[0])


def made_rigs(make_lmdb, pictures, image_list, hdf5_list):
    path = make_lmdb(pictures(7, (1, 6, 6)))
    return {
        "Data": lambda: data_rig(path, transform={"crop_size": 4, "mirror": True}),
        "ImageData": lambda: image_rig(image_list, shuffle=True, transform_param={"mirror": True}),
        "HDF5Data": lambda: hdf5_rig(hdf5_list, shuffle=True),
    }


@pytest.mark.parametrize("name", ["Data", "ImageData", "HDF5Data"])
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_resumed_source_gives_what_would_have_come(name, taken, make_lmdb, pictures, image_list, tmp_path, request):
    hdf5 = tmp_path / "h"
    hdf5.mkdir()
    rigs = made_rigs(make_lmdb, pictures, image_list, write_hdf5(hdf5))
    first = rigs[name]()
    for _ in range(taken):
        first.forward()
    state = first.layer.state()
    expected = [first.forward() for _ in range(6)]
    second = rigs[name]()
    second.forward()  # with batches fetched ahead that must be dropped
    second.layer.load_state(state)
    assert second.layer.state() == state
    for want in expected:
        for got, array in zip(second.forward(), want):
            np.testing.assert_array_equal(got, array)
    first.layer.close()
    second.layer.close()


def write_hdf5(folder):
    with h5py.File(folder / "a.h5", "w") as file:
        file["x"], file["t"] = np.random.default_rng(0).random((5, 2)), np.arange(5)
    with h5py.File(folder / "b.h5", "w") as file:
        file["x"], file["t"] = np.random.default_rng(1).random((4, 2)), np.arange(4)
    (folder / "list.txt").write_text("a.h5 b.h5")
    return str(folder / "list.txt")


def test_the_state_is_that_of_the_net_not_of_the_prefetch(make_lmdb, pictures):
    rig = data_rig(make_lmdb(pictures(50)), prefetch=4)
    assert rig.layer.state()["record"] == 0
    rig.forward()
    assert rig.layer.state() == {"record": 4, "after": b"00000003".hex()}
    rig.layer.close()


@pytest.mark.parametrize("prefetch", [1, 7])
def test_the_depth_of_prefetch_changes_nothing(prefetch, make_lmdb, pictures):
    path, transform = make_lmdb(pictures(9, (3, 8, 8))), {"crop_size": 5, "mirror": True}
    rigs = data_rig(path, transform=transform, prefetch=prefetch), data_rig(path, transform=transform)
    for _ in range(5):
        np.testing.assert_array_equal(*(rig.forward()[0] for rig in rigs))
    for rig in rigs:
        rig.layer.close()


def test_threads_end_when_the_layer_goes(make_lmdb, pictures):
    before = set(threads())
    rig = data_rig(make_lmdb(pictures(9)))
    rig.forward()
    assert set(threads()) - before
    gone = weakref.ref(rig.layer)
    del rig
    gc.collect()
    assert gone() is None and set(threads()) <= before


def test_building_starts_no_thread(make_lmdb, pictures):
    before = len(threads())
    data_rig(make_lmdb(pictures(9)))
    assert len(threads()) == before


def test_batches_may_change_their_size_with_batch_size_one(make_lmdb):
    sizes = [(1, 4, 5), (1, 7, 3)]
    path = make_lmdb([(np.full(size, i, np.uint8), i) for i, size in enumerate(sizes)])
    rig = data_rig(path, batch_size=1)
    assert [rig.forward()[0].shape for _ in range(4)] == [(1, *size) for size in sizes * 2]
    rig.layer.close()


@pytest.mark.parametrize("field, value", [("batch_size", 0), ("prefetch", 0), ("rand_skip", -1), ("backend", "SQLITE")])
def test_a_bad_parameter_is_refused(field, value, make_lmdb, pictures):
    with pytest.raises(PrototxtError, match=f"{field}: {value}, must be"):
        data_rig(make_lmdb(pictures(2)), **{field: value})


def test_a_missing_database_names_the_layer(tmp_path):
    with pytest.raises(DataError, match=r"layer 'layer' \(Data\): database 'nowhere' is missing"):
        data_rig("nowhere")


def test_a_broken_record_is_named_by_its_key(make_lmdb, pictures):
    records = [*pictures(5), b"\x08\x01\x10\x02"]
    rig = data_rig(make_lmdb(records), batch_size=3)
    rig.forward()
    for _ in range(2):
        with pytest.raises(DataError, match=r"layer 'layer' \(Data\): .*record '00000005' is broken"):
            rig.forward()
    rig.layer.close()


def test_a_broken_picture_in_a_database_is_named_by_its_key(make_lmdb):
    data = cv2.imencode(".jpg", np.zeros((20, 20, 3), np.uint8))[1].tobytes()
    rig = data_rig(make_lmdb([make_datum(data, encoded=True), make_datum(data[:200], encoded=True)]), batch_size=2)
    with pytest.raises(DataError, match="record '00000001' is cut off"):
        rig.forward()
    rig.layer.close()


def test_pictures_of_two_sizes_in_a_batch_are_an_error(make_lmdb):
    rig = data_rig(make_lmdb([(np.zeros((1, 4, 4), np.uint8), 0), (np.zeros((1, 5, 4), np.uint8), 0)]), batch_size=2)
    with pytest.raises(DataError, match=r"record '00000001' has the shape \(1, 5, 4\), the first .* \(1, 4, 4\)"):
        rig.forward()
    rig.layer.close()


def test_rand_skip_leaves_out_fewer_records_than_it_says(make_lmdb, pictures):
    path = make_lmdb(pictures(50))
    skips = {int(data_rig(path, rand_skip=5, seed=seed).layer.state()["record"]) for seed in range(12)}
    assert len(skips) > 2 and skips <= set(range(5))


def test_the_label_follows_the_last_space(image_list):
    rig = image_rig(image_list)
    data, labels = rig.forward()
    assert labels.tolist() == [0, 1, 2] and data[:, 0, 0, 0].tolist() == [0, 1, 2]
    rig.layer.close()


@pytest.mark.parametrize("text, message", [
    ("", "is empty"), ("\n\n", "is empty"), ("a.png 1\nb.png x\n", r"list\.txt:2: .*the label 'x' is no whole number"),
    ("a.png 99999999999", r"list\.txt:1: .*out of range"), ("a b.png", r"the label 'b\.png' is no whole number"),
    ("no.png 1", "the picture 'no.png' or .* cannot be read: it does not exist")])
def test_a_bad_list_is_refused(tmp_path, text, message):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        image_rig(str(tmp_path / "list.txt"))


def test_one_of_height_and_width_is_refused(image_list):
    with pytest.raises(LayerError, match="new_height: 4, new_width: 0"):
        image_rig(image_list, new_height=4)


def test_a_shortened_list_cannot_resume(image_list):
    rig = image_rig(image_list)
    with pytest.raises(DataError, match="the list has 7 pictures, it had 9"):
        rig.layer.load_state({"record": 3, "of": 9})


def test_a_refused_state_leaves_the_position(image_list):
    rig = image_rig(image_list)
    rig.forward()
    with pytest.raises(DataError):
        rig.layer.load_state({"record": 3, "of": 9})
    assert rig.forward()[1].tolist() == [3, 4, 5]
    rig.layer.close()


def test_a_closed_layer_is_an_error(image_list):
    rig = image_rig(image_list)
    rig.layer.close()
    rig.layer.close()
    with pytest.raises(LayerError, match="is closed"):
        rig.forward()


def test_hdf5_batches_go_over_the_borders_of_files(hdf5_list):
    rig = hdf5_rig(hdf5_list)
    labels = np.concatenate([rig.forward()[1] for _ in range(4)])
    assert labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]
    rig.layer.close()


def test_a_shuffled_hdf5_round_holds_every_row_once(hdf5_list):
    rig = hdf5_rig(hdf5_list, batch_size=8, shuffle=True)
    rounds = []
    for _ in range(3):
        x, t = rig.forward()
        assert (x == t[:, None]).all()
        rounds.append(t.tolist())
    assert all(sorted(t) == list(range(8)) for t in rounds) and rounds[0] != rounds[1]
    rig.layer.close()


@pytest.mark.parametrize("tops, message", [
    (("x", "label"), "has no dataset 'label'"), (("x", "T"), "has no dataset 'T'\n  hint: did you mean 't'")])
def test_a_missing_dataset_is_named(hdf5_list, tops, message):
    with pytest.raises(DataError, match=message):
        hdf5_rig(hdf5_list, tops=tops)


def test_a_file_that_is_no_hdf5_is_named(tmp_path):
    (tmp_path / "a.h5").write_text("hello")
    (tmp_path / "list.txt").write_text("a.h5")
    with pytest.raises(DataError, match=r"a\.h5 is no HDF5 file that can be read"):
        hdf5_rig(str(tmp_path / "list.txt"))


def test_hdf5_rows_of_two_counts_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["t"] = np.zeros((4, 2)), np.zeros(3)
    (tmp_path / "list.txt").write_text("a.h5")
    with pytest.raises(DataError, match=r"differ in rows: \[3, 4\]"):
        hdf5_rig(str(tmp_path / "list.txt"))


def test_hdf5_texts_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = ["a", "b"]
    (tmp_path / "list.txt").write_text("a.h5")
    with pytest.raises(DataError, match="'x' is object of shape"):
        hdf5_rig(str(tmp_path / "list.txt"), tops=("x",))


def test_large_datasets_are_read_slice_by_slice(hdf5_list, monkeypatch):
    monkeypatch.setattr("layerforge.data.hdf5.LOAD_BYTES", 10)
    rig = hdf5_rig(hdf5_list, batch_size=7)
    assert rig.forward()[1].tolist() == list(range(7)) and rig.forward()[1].tolist() == [7, 0, 1, 2, 3, 4, 5]
    rig.layer.close()


def test_hdf5_output_adds_rows_and_appears_whole(tmp_path):
    path = tmp_path / "out.h5"
    rig = Rig(HDF5Output, {"file_name": str(path)}, [np.ones((2, 3)), np.zeros(2)], tops=0)
    rig.forward()
    rig.forward([np.full((1, 3), 2), np.ones(1)])
    assert not path.exists()
    rig.layer.close()
    with h5py.File(path) as file:
        assert file["data"][:, 0, 0, 0].tolist() == [1, 1, 2] and file["label"].shape == (3, 1, 1, 1)
    assert [each.name for each in tmp_path.iterdir()] == ["out.h5"]


def test_hdf5_output_is_closed_with_its_layer(tmp_path):
    rig = Rig(HDF5Output, {"file_name": str(tmp_path / "out.h5")}, [np.ones((2, 3)), np.zeros(2)], tops=0)
    rig.forward()
    del rig
    gc.collect()
    assert (tmp_path / "out.h5").exists()


def test_hdf5_output_without_rows_leaves_nothing(tmp_path):
    writer = Hdf5Writer(str(tmp_path / "out.h5"))
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_hdf5_output_into_a_missing_folder_names_the_layer(tmp_path):
    rig = Rig(HDF5Output, {"file_name": str(tmp_path / "no" / "out.h5")}, [np.ones((2, 3)), np.zeros(2)], tops=0)
    with pytest.raises(DataError, match=r"layer 'layer' \(HDF5Output\): .*cannot be written"):
        rig.forward()


def test_memory_data_needs_arrays_first():
    rig = Rig(MemoryData, {"batch_size": 2, "channels": 1, "height": 2, "width": 2})
    with pytest.raises(LayerError, match="has no data yet"):
        rig.forward()


@pytest.mark.parametrize("data, labels, message", [
    (np.zeros((3, 1, 2, 2)), np.zeros(3), "3 rows are no multiple of batch_size: 2"),
    (np.zeros((2, 1, 2, 3)), np.zeros(2), r"the data has the shape \(2, 1, 2, 3\)"),
    (np.zeros((2, 1, 2, 2)), np.zeros(3), "3 labels for 2 rows")])
def test_memory_data_refuses_arrays_that_do_not_fit(data, labels, message):
    rig = Rig(MemoryData, {"batch_size": 2, "channels": 1, "height": 2, "width": 2})
    with pytest.raises(LayerError, match=message):
        rig.layer.set_arrays(data, labels)


def test_memory_data_sees_later_writes():
    rig = Rig(MemoryData, {"batch_size": 2, "channels": 1, "height": 1, "width": 1})
    data = np.zeros((2, 1, 1, 1), np.float32)
    rig.layer.set_arrays(data, np.zeros(2))
    data[...] = 5
    assert (rig.forward()[0] == 5).all()
