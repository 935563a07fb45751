"""The zoo's small programs: what they make, and that nets learn from it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from narrow_nets import narrowed

from layerforge.core.errors import DataError
from layerforge.core.storage import HOST
from layerforge.data.datasets import picture_records
from layerforge.data.datum import parse_datum
from layerforge.data.reader import open_database
from layerforge.data.writer import write_lmdb
from layerforge.net.build import build_net
from layerforge.net.share import share_parameters_with
from layerforge.schema.read import read_solver
from layerforge.schema.write import net_text
from layerforge.solver.loop import Solver
from layerforge.zoo.catalogue import DEPLOY, TRAIN_VAL, models
from layerforge.zoo.fetch import copy_files


def program(name: str, file: str):
    """A program of a model as a module."""
    spec = importlib.util.spec_from_file_location(f"{name}_{file}", models()[name].folder / f"{file}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def trained(name: str, factor: int, outputs: int, iterations: int, rate: float, folder) -> tuple[Solver, list[float]]:
    """A narrow net of the model, trained on the files in the folder, and its losses."""
    net = models()[name].definition(TRAIN_VAL)
    net = replace(net, layers=tuple(narrowed(layer, factor, outputs, False) for layer in net.layers))
    (folder / "net.prototxt").write_text(net_text(net))
    (folder / "solver.prototxt").write_text(f"""net: "{folder}/net.prototxt" type: "Adam" base_lr: {rate} momentum: 0.9
        momentum2: 0.999 lr_policy: "fixed" max_iter: 1000 clip_gradients: 5 snapshot_after_train: false random_seed: 1
        test_iter: 1 test_interval: 1000 test_initialization: false""")
    solver, losses = Solver(read_solver(folder / "solver.prototxt")), []
    for _ in range(iterations):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data.array(HOST)[0]))
    return solver, losses


def applied(name: str, factor: int, outputs: int, solver: Solver):
    """The narrow net to apply, with the solver's weights."""
    net = models()[name].definition(DEPLOY)
    net = build_net(replace(net, layers=tuple(narrowed(layer, factor, outputs, False) for layer in net.layers)))
    share_parameters_with(net, solver.net)
    return net


def test_characters_are_numbered_and_foreign_ones_are_question_marks():
    chars = program("char_lstm", "chars")
    assert list(chars.numbers("\n ~é\t")) == [0, 1, 95, chars.NUMBER["?"], 1] and len(chars.ALPHABET) == 96


def test_streams_of_characters_go_on_from_column_to_column():
    chars = program("char_lstm", "chars")
    made = chars.streams(np.arange(101))
    assert made["data"].shape == (5, 20) and list(made["data"][:, 1]) == [5, 6, 7, 8, 9]
    assert (made["label"] == made["data"] + 1).all() and made["cont"].sum(1).tolist() == [0, 20, 20, 20, 20]


def test_a_text_that_is_too_short_is_refused():
    with pytest.raises(DataError, match="a text of 30 characters is too short"):
        program("char_lstm", "chars").streams(np.zeros(30))


def test_the_character_lstm_learns_a_text_and_writes_it(tmp_path):
    chars = program("char_lstm", "chars")
    (tmp_path / "text.txt").write_text("a net of layers, " * 180)
    chars.prepare(str(tmp_path / "text.txt"), str(tmp_path))
    solver, losses = trained("char_lstm", 4, 96, 60, 0.02, tmp_path)
    assert losses[-1] < 0.1 * losses[0]
    net = applied("char_lstm", 4, 96, solver)
    text = chars.sample(net, "a net of ", 42, 0.1, np.random.default_rng(1))
    assert text == "a net of layers, a net of layers, a net of layers, "


def test_words_are_counted_and_texts_filled_in_front(tmp_path):
    words = program("sentiment", "words")
    assert words.split("It's GOOD, isn't it? 10/10") == ["it's", "good", "isn't", "it", "10", "10"]
    assert words.vocabulary([["b", "a"], ["b"]]) == ["b", "a"]
    data, cont = words.row(["b", "x"], {"b": 2})
    assert data[-3:].tolist() == [0, 2, 1] and cont[-3:].tolist() == [0, 0, 1] and len(data) == len(cont) == words.STEPS


def test_only_the_last_step_of_a_text_has_a_label():
    words = program("sentiment", "words")
    made = words.batches([["a"]] * 40, [1] * 40, {})
    assert made["label"].shape == (2 * words.STEPS, words.BATCH)
    assert (made["label"] != -1).sum() == 2 * words.BATCH and (made["label"][words.STEPS - 1] == 1).all()


def test_the_sentiment_net_tells_praise_from_blame(tmp_path):
    words = program("sentiment", "words")
    for name, word in (("bad", "dull"), ("good", "lovely")):
        (tmp_path / f"{name}.txt").write_text("".join(f"film {i % 7} was so {word} today\n" for i in range(40)))
    words.prepare(str(tmp_path / "bad.txt"), str(tmp_path / "good.txt"), str(tmp_path))
    solver, losses = trained("sentiment", 4, 2, 40, 0.02, tmp_path)
    assert losses[-1] < 0.5 * losses[0]
    net = applied("sentiment", 4, 2, solver)
    number = words.numbers((tmp_path / "words.txt").read_text().split())
    assert words.judge(net, "a lovely film", number) > 0.5 > words.judge(net, "a dull film", number)


def test_every_other_pair_is_alike(tmp_path):
    pairs = program("siamese", "pairs")
    labels = np.arange(60) % 3
    chosen = list(pairs.pairs(labels))
    assert len(chosen) == 60
    assert all((labels[a] == labels[b]) == (i % 2 == 0) for i, (a, b) in enumerate(chosen))


def test_pairs_are_pictures_of_two_channels(tmp_path, monkeypatch):
    pairs = program("siamese", "pairs")
    pictures = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 28, 28), np.uint8)
    write_lmdb(str(tmp_path / "digits"), picture_records(pictures, [i % 10 for i in range(20)]))
    monkeypatch.setattr("sys.argv", ["pairs.py", str(tmp_path / "digits"), str(tmp_path / "pairs")])
    pairs.main()
    reader = open_database(str(tmp_path / "pairs"), "LMDB")
    for _, value in reader.records(None):
        datum = parse_datum(value, "a pair")
        first, second = datum.array()[:, 0, 0]
        assert datum.shape == (2, 28, 28) and datum.label == int(first % 10 == second % 10)


def test_logistic_regression_learns_its_rows(tmp_path, monkeypatch):
    rows = program("logistic_regression", "rows")
    monkeypatch.setattr("sys.argv", ["rows.py", "--out", str(tmp_path)])
    rows.main()
    solver, losses = trained("logistic_regression", 1, 2, 200, 0.05, tmp_path)
    assert np.mean(losses[-20:]) < 0.6 * losses[0]
    w = solver.net.params["fc1"][0].data.array(HOST).reshape(2, 4)
    assert np.corrcoef(w[1] - w[0], rows.WEIGHTS)[0, 1] > 0.95


def test_the_gan_draws_more_like_digits_than_it_did(tmp_path):
    train = program("gan", "train")
    digits = train.digits()
    game = train.Game(digits)

    def distance() -> float:
        return float(np.abs(game.draw().mean(0) - digits.mean(0)).mean())

    before = distance()
    game.play(400)
    assert distance() < 0.5 * before


def test_the_gan_trains_from_a_copy_of_its_folder(tmp_path):
    copy_files(models()["gan"], tmp_path)
    done = subprocess.run([sys.executable, "train.py", "--iterations", "2"], check=False, cwd=tmp_path,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "digits.png").read_bytes()[1:4] == b"PNG"


def test_the_gans_discriminator_keeps_still_while_the_generator_learns():
    train = program("gan", "train")
    game = train.Game(train.digits())
    game.play(1)
    kept = game.drawer.net.params["d_ip1"][0].data.copy()
    drawn = game.drawer.net.params["g_ip1"][0].data.copy()
    game.drawer.step(1)
    assert (game.teller.net.params["d_ip1"][0].data == kept).all()
    assert (game.drawer.net.params["g_ip1"][0].data != drawn).any()
