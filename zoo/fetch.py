"""Takes a model out of the zoo: its files, and weights where they are public."""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerforge.core.errors import DataError
from layerforge.core.files import replacing
from layerforge.zoo.catalogue import Model

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 20
MAX_BYTES = 1 << 31  # no file of the zoo's weights is larger than 1 GiB


def copy_files(model: Model, folder: Path) -> list[Path]:
    """Copies the model's files into a folder, which is made; returns their paths.

    Raises DataError when one of them is there already and differs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for source in model.files():
        target = folder / source.name
        if target.exists() and target.read_bytes() != source.read_bytes():
            raise DataError(f"{target} is there already and differs from the zoo's", hint="name another folder")
        shutil.copyfile(source, target)
        made.append(target)
    return made


def is_checked(weights: Any) -> bool:
    """Whether the front matter's `weights` has an address and a hash to hold the file against."""
    return isinstance(weights, Mapping) and "url" in weights and bool({"sha1", "git_blob"} & set(weights))


def download(weights: Mapping[str, Any], folder: Path) -> Path:
    """Downloads weights into a folder, unless they are there; returns the path.

    Raises DataError when there is no network, or when the file's hash is not the known one; no file is left then.
    """
    target = folder / str(weights["file"])
    if target.exists():
        _check(target, weights, str(target))
        return target
    with replacing(os.fspath(target)) as temporary:
        try:
            _receive(str(weights["url"]), Path(temporary))
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise DataError(f"{weights['url']} cannot be had: {reason}",
                            hint=f"download it elsewhere, and put it at {target}") from None
        _check(Path(temporary), weights, str(weights["url"]))
    return target


def _receive(url: str, path: Path) -> None:
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer, open(path, "wb") as file:
        while chunk := answer.read(CHUNK_BYTES):
            file.write(chunk)
            if file.tell() > MAX_BYTES:
                raise OSError(f"more than {MAX_BYTES:,} bytes")


def _check(path: Path, weights: Mapping[str, Any], name: str) -> None:
    """Holds a file against the known hash: of the file (sha1), or as Git counts it (git_blob)."""
    kind = "sha1" if "sha1" in weights else "git_blob"
    digest = hashlib.sha1(usedforsecurity=False)
    if kind == "git_blob":
        digest.update(b"blob %d\0" % path.stat().st_size)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != weights[kind]:
        raise DataError(f"{name} has the {kind} {digest.hexdigest()}, expected {weights[kind]}",
                        hint="the file is cut off or is another one; remove it and try again")
