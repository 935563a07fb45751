"""The project installs: as a wheel and editable, used from outside its folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import layerforge

ROOT = Path(__file__).resolve().parents[1]
NET = """
name: "tiny"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 4 } }
"""


def run(*command: object, cwd: Path) -> str:
    parts = [str(part) for part in command]
    done = subprocess.run(parts, check=False, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of the project as a checkout has it: building leaves nothing in ours."""
    target = tmp_path_factory.mktemp("tree") / "layerforge"
    skip = shutil.ignore_patterns(
        ".git", ".venv", "runs", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", "*_lmdb")
    shutil.copytree(ROOT, target, ignore=skip)
    return target


def environment(folder: Path) -> Path:
    """A fresh environment that sees the installed libraries, but not this project: its Python."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    site = next((folder / "lib").glob("python*")) / "site-packages"
    # Entries of a .pth file are searched, the .pth files in them are not read: our own editable install stays unseen.
    (site / "libraries.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")))
    return folder / "bin" / "python"


def install(python: Path, *what: object) -> None:
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", *offline, *what, cwd=python.parent)


def check_use(python: Path, folder: Path) -> None:
    """The program and the package work from a folder that has nothing to do with the project."""
    (folder / "tiny.prototxt").write_text(NET)
    program = python.parent / "layerforge"
    assert run(program, "--version", cwd=folder) == f"layerforge {layerforge.__version__}\n"
    assert run(python, "-m", "layerforge", "--version", cwd=folder) == f"layerforge {layerforge.__version__}\n"
    assert "ip" in run(program, "time", "-model", "tiny.prototxt", "-iterations", "1", cwd=folder)


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, tree, cwd=out)
    return next(out.glob("*.whl"))


def test_wheel_has_no_top_level_folder_but_its_own(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"layerforge", f"layerforge-{layerforge.__version__}.dist-info"}


def test_wheel_holds_every_source_and_data_file(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    suffixes = {".py", ".cu", ".cuh", ".h", ".desc", ".prototxt", ".md", ".gz"}
    expected = set()
    for top, prefix in (("layerforge", ""), ("cli", "layerforge/"), ("zoo", "layerforge/")):
        expected |= {prefix + path.relative_to(ROOT).as_posix() for path in (ROOT / top).rglob("*")
                     if path.suffix in suffixes and "__pycache__" not in path.parts}
    assert expected <= inside, sorted(expected - inside)


def test_wheel_carries_the_licence_and_the_dependencies(wheel):
    archive = zipfile.ZipFile(wheel)
    info = f"layerforge-{layerforge.__version__}.dist-info"
    assert any(name.startswith(info) and name.endswith("LICENSE") for name in archive.namelist())
    metadata = archive.read(f"{info}/METADATA").decode()
    for name in ("numpy", "protobuf", "lmdb", "h5py", "rich", "threadpoolctl", "onednn-cpu-gomp", "llvmlite"):
        assert f"Requires-Dist: {name}" in metadata


def test_wheel_works_in_a_fresh_environment(wheel, tmp_path):
    python = environment(tmp_path / "env")
    install(python, wheel)
    where = run(python, "-c", "import layerforge; print(layerforge.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(tmp_path / "env")
    check_use(python, tmp_path)


def test_editable_install_follows_the_tree(tree, tmp_path):
    python = environment(tmp_path / "env")
    install(python, "-e", tree)
    where = run(python, "-c", "import layerforge; print(layerforge.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(tree)
    check_use(python, tmp_path)
