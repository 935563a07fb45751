"""convert_imageset makes the databases that Caffe's tool makes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from layerforge.cli.main import main
from layerforge.data.datum import parse_datum
from layerforge.data.reader import open_database

FILES = Path(__file__).parents[1] / "golden" / "files"


def contents(path, backend="LMDB"):
    return list(open_database(str(path), backend).records(None))


def convert(*flags, listing="list.txt", out):
    return main(["convert_imageset", *flags, f"{FILES}/", str(FILES / listing), str(out)])


@pytest.mark.parametrize(("flags", "listing", "golden"), [
    ((), "list.txt", "db_lmdb"),
    (("--gray",), "list_png.txt", "db_gray_lmdb"),
    (("--resize_width=21", "--resize_height=17"), "list_png.txt", "db_resized_lmdb"),
    (("--encoded",), "list.txt", "db_encoded_lmdb")])
def test_keys_and_records_are_those_of_caffes_database(flags, listing, golden, tmp_path):
    assert convert(*flags, listing=listing, out=tmp_path / "db") == 0
    made, recorded = contents(tmp_path / "db"), contents(FILES / golden)
    assert [key for key, _ in made] == [key for key, _ in recorded]
    jpeg = [key for (key, ours), (_, theirs) in zip(made, recorded) if ours != theirs]
    assert all(key.endswith(b".jpg") for key in jpeg)  # decoders of JPEG differ by a little between their versions


def test_leveldb_records_are_those_of_caffes_database(tmp_path):
    assert convert("--backend=leveldb", listing="list_png.txt", out=tmp_path / "db") == 0
    assert contents(tmp_path / "db", "LEVELDB") == contents(FILES / "db_leveldb", "LEVELDB")


def test_shuffle_is_repeated_by_its_seed(tmp_path):
    for name in ("a", "b"):
        assert convert("--shuffle", "--seed", "4", out=tmp_path / name) == 0
    keys = [key for key, _ in contents(tmp_path / "a")]
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert [key[:8] for key in keys] == [b"%08d" % i for i in range(20)]
    assert [key[9:] for key in keys] != [key[9:] for key, _ in contents(FILES / "db_lmdb")]
    assert sorted(key[9:] for key in keys) == sorted(key[9:] for key, _ in contents(FILES / "db_lmdb"))


def test_encode_type_compresses_pictures_anew(tmp_path):
    assert convert("--encode_type=png", listing="list.txt", out=tmp_path / "db") == 0
    assert all(b"\x89PNG" in value[:16] for _, value in contents(tmp_path / "db"))


@pytest.fixture
def photos(tmp_path):
    """A folder of three pictures, the second cut off, and its list."""
    for i, name in enumerate(("img_00.png", "img_02.png", "img_03.png")):
        shutil.copy(FILES / "images" / name, tmp_path / f"{i}.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:300])
    (tmp_path / "list.txt").write_text("0.png 5\n\n1.png 6\n2.png 7\n")
    return tmp_path


def test_a_broken_picture_is_named_with_its_line_and_nothing_is_left(photos, capsys):
    assert main(["convert_imageset", f"{photos}/", f"{photos}/list.txt", f"{photos}/db"]) == 1
    assert "list.txt:3: " in (error := capsys.readouterr().err) and "1.png is cut off" in error
    assert sorted(os.listdir(photos)) == ["0.png", "1.png", "2.png", "list.txt"]


def test_skip_broken_goes_on_with_caffes_numbers(photos, capsys):
    assert main(["convert_imageset", "--skip_broken", f"{photos}/", f"{photos}/list.txt", f"{photos}/db"]) == 0
    assert [key for key, _ in contents(photos / "db")] == [b"00000000_0.png", b"00000002_2.png"]
    assert "left out: " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../secret.png", "a/../../secret.png"])
def test_a_name_does_not_lead_out_of_the_root_folder(name, tmp_path, capsys):
    (tmp_path / "root").mkdir()
    shutil.copy(FILES / "images" / "img_00.png", tmp_path / "secret.png")
    (tmp_path / "list.txt").write_text(f"{name} 0\n")
    assert main(["convert_imageset", f"{tmp_path}/root/", f"{tmp_path}/list.txt", f"{tmp_path}/db"]) == 1
    assert "leads out of the root folder" in capsys.readouterr().err


def test_check_size_names_the_first_other_size(tmp_path, capsys):
    listing = FILES / "list_sizes.txt"
    assert main(["convert_imageset", "--check_size", f"{FILES}/images/", str(listing), str(tmp_path / "db")]) == 1
    assert "list_sizes.txt:2: " in (error := capsys.readouterr().err) and "has the size" in error
    assert not (tmp_path / "db").exists()


def test_one_resize_flag_alone_is_wrong_usage(tmp_path, capsys):
    assert convert("--resize_width=3", out=tmp_path / "db") == 2
    assert "go together" in capsys.readouterr().err


def test_several_labels_go_into_a_database_of_their_own(photos):
    shutil.copy(photos / "0.png", photos / "1.png")
    (photos / "list.txt").write_text("0.png 1 0.5\n1.png 2 -1\n2.png 3 4\n")
    argv = ["convert_imageset", "--label_count", "2", "--shuffle", "--seed", "1", f"{photos}/", f"{photos}/list.txt"]
    assert main([*argv, f"{photos}/db"]) == 0
    pictures, labels = contents(photos / "db"), contents(photos / "db_labels")
    assert [key for key, _ in pictures] == [key for key, _ in labels]
    expected = {b"0.png": [1, 0.5], b"1.png": [2, -1], b"2.png": [3, 4]}
    for key, value in labels:
        datum = parse_datum(value, "record")
        assert datum.shape == (2, 1, 1) and datum.array().ravel().tolist() == expected[key[9:]]


def test_labels_are_not_left_without_their_pictures(photos):
    (photos / "list.txt").write_text("0.png 1 0.5\n1.png 2 -1\n")  # 1.png is cut off
    assert main(["convert_imageset", "--label_count", "2", f"{photos}/", f"{photos}/list.txt", f"{photos}/db"]) == 1
    assert sorted(os.listdir(photos)) == ["0.png", "1.png", "2.png", "list.txt"]
