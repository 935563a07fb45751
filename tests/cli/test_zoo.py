"""`layerforge zoo`."""

import hashlib
import shutil
import urllib.error
import urllib.request

import pytest

from layerforge.cli.main import main
from layerforge.cli.zoo import findings
from layerforge.core.errors import DataError
from layerforge.zoo import catalogue, fetch
from layerforge.zoo.catalogue import Model, models


def test_without_an_action_every_model_has_a_row(capsys):
    assert main(["zoo"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{name} " in out for name in models())
    assert "60,965,224" in out and "724.41 M" in out


def test_show_says_facts_files_and_layers(capsys):
    assert main(["zoo", "show", "lenet"]) == 0
    out = capsys.readouterr().out
    assert "Gradient-based learning" in out and "train_val.prototxt" in out
    assert [line.split() for line in out.splitlines() if line.startswith("ip1")] == [
        ["ip1", "InnerProduct", "1×500", "400,500", "400,000"]]


def test_show_draws_into_the_file_that_is_named(capsys, tmp_path):
    pytest.importorskip("pygraphviz", reason="pictures need pygraphviz")
    picture = tmp_path / "lenet.svg"
    assert main(["zoo", "show", "lenet", str(picture)]) == 0
    text = picture.read_text(encoding="utf-8")
    assert "<svg" in text and "conv1" in text and "431,080 parameters" in text


def test_get_copies_every_file_of_a_model(capsys, tmp_path):
    assert main(["zoo", "get", "lenet", str(tmp_path / "mine")]) == 0
    have = {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    assert have == {path.name: path.read_bytes() for path in models()["lenet"].files()}
    assert "none are shipped" in capsys.readouterr().out


def test_get_keeps_files_that_were_changed(capsys, tmp_path):
    (tmp_path / "solver.prototxt").write_text("base_lr: 1")
    assert main(["zoo", "get", "lenet", str(tmp_path)]) == 1
    assert "differs from the zoo's" in capsys.readouterr().err
    assert (tmp_path / "solver.prototxt").read_text() == "base_lr: 1"


@pytest.fixture
def served(tmp_path):
    """Weights behind an address, with their hashes."""
    path = tmp_path / "served.caffemodel"
    path.write_bytes(b"weights")
    blob = hashlib.sha1(b"blob 7\0weights").hexdigest()
    return {"file": "w.caffemodel", "url": path.as_uri(), "sha1": hashlib.sha1(b"weights").hexdigest()}, blob


@pytest.mark.parametrize("kind", ["sha1", "git_blob"])
def test_weights_are_downloaded_and_checked(served, tmp_path, kind):
    weights, blob = served
    weights = {"file": weights["file"], "url": weights["url"], kind: weights["sha1"] if kind == "sha1" else blob}
    out = tmp_path / "out"
    out.mkdir()
    assert fetch.download(weights, out).read_bytes() == b"weights"


def test_weights_of_another_hash_are_refused_and_not_kept(served, tmp_path):
    weights = served[0] | {"sha1": "0" * 40}
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(DataError, match="expected 0000"):
        fetch.download(weights, out)
    assert list(out.iterdir()) == []


def test_weights_that_are_there_are_not_downloaded_again(served, tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("the network was used"))
    (tmp_path / "w.caffemodel").write_bytes(b"weights")
    assert fetch.download(served[0], tmp_path) == tmp_path / "w.caffemodel"


def test_without_a_network_the_files_are_copied_and_the_address_is_named(capsys, tmp_path, monkeypatch):
    def nowhere(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", nowhere)
    assert main(["zoo", "get", "alexnet", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "bvlc_alexnet.caffemodel cannot be had: Name or service not known" in error
    assert (tmp_path / "deploy.prototxt").exists() and not (tmp_path / "bvlc_alexnet.caffemodel").exists()


def test_nodownload_leaves_the_network_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("the network was used"))
    assert main(["zoo", "get", "alexnet", str(tmp_path), "--nodownload"]) == 0


def test_weights_with_an_address_have_a_hash_or_are_not_downloaded():
    known = {name for name, model in models().items() if fetch.is_checked(model.facts["weights"])}
    assert known == {"alexnet", "caffenet", "googlenet", "squeezenet1_0", "squeezenet1_1", "mobilenet_v1",
                     "mobilenet_v2"}
    assert not fetch.is_checked(models()["vgg16"].facts["weights"])


def test_check_of_one_model_runs_numbers_through_it(capsys):
    assert main(["zoo", "check", "lenet"]) == 0
    assert "1 of 1 models are what their READMEs say" in capsys.readouterr().out


def test_check_tells_what_differs(tmp_path):
    shutil.copytree(models()["lenet"].folder, tmp_path / "lenet")
    readme = tmp_path / "lenet" / "README.md"
    readme.write_text(readme.read_text(encoding="utf-8").replace("431080", "431081"), encoding="utf-8")
    model = Model("lenet", readme.parent, catalogue.front_matter(readme))
    assert list(findings(model, fast=True)) == [
        "deploy.prototxt: parameters are 431,080, the README says 431,081",
        "train_val.prototxt: parameters are 431,080, the README says 431,081"]


def test_check_tells_of_numbers_that_are_not_finite(tmp_path):
    shutil.copytree(models()["lenet"].folder, tmp_path / "lenet")
    text = tmp_path / "lenet" / "train_val.prototxt"
    text.write_text(text.read_text().replace('type: "xavier"', 'type: "constant" value: inf'))
    model = Model("lenet", text.parent, models()["lenet"].facts)
    problems = list(findings(model, fast=False))
    assert "train_val.prototxt: the loss is nan" in problems


@pytest.mark.parametrize(("line", "code", "words"), [
    (["zoo", "shwo"], 2, "did you mean 'show'?"), (["zoo", "show"], 2, "needs the name of a model"),
    (["zoo", "show", "lenett"], 1, "did you mean 'lenet'?"), (["zoo", "get", "qqqq"], 1, "`layerforge zoo` lists"),
])
def test_mistakes_are_told(capsys, line, code, words):
    assert main(line) == code
    assert words in capsys.readouterr().err


def test_a_readme_without_front_matter_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("# A page\n")
    with pytest.raises(DataError, match="does not begin with front matter"):
        catalogue.front_matter(tmp_path / "README.md")
