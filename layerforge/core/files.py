"""Files: where a name in a prototxt leads, and writing so that nothing is ever half there."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator

from layerforge.core.errors import DataError


def find_path(name: str, folder: str = "", *, what: str = "file", where: object = None) -> str:
    """The path that `name` leads to: from the working folder, else from `folder`, that of the text that names it.

    what  the thing in words, for the error: "list of images"
    Raises DataError with every path that was tried.
    """
    tried = [name] if os.path.isabs(name) or not folder else [name, os.path.join(folder, name)]
    for path in tried:
        if os.path.exists(path):
            return path
    places = " or ".join(repr(os.path.abspath(path)) for path in dict.fromkeys(tried))
    raise DataError(f"{what} {name!r} is missing: there is no {places}", where=where,
                    hint="names are relative to the working folder, then to the folder of the prototxt")


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Gives a temporary path beside `path`; what was written there takes its place at the end, or vanishes on an error.

    Raises DataError when the folder is missing or cannot be written, or the disk is full.
    """
    folder, base = os.path.split(os.path.abspath(path))
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{base}.", suffix=".tmp", dir=folder)
    except OSError as error:
        raise DataError(f"{path!r} cannot be written: {error.strerror}") from error
    os.close(descriptor)
    try:
        yield temporary
        _sync(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        _sync(folder)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise DataError(f"{path!r} cannot be written: {error.strerror or error}") from error
        raise


@contextlib.contextmanager
def new_folder(path: str) -> Iterator[str]:
    """Gives a temporary folder beside `path`; it takes that name at the end, or vanishes on an error.

    Raises DataError when `path` exists already, or its parent is missing or cannot be written.
    """
    parent, base = os.path.split(os.path.abspath(path))
    if os.path.exists(path):
        raise DataError(f"{path!r} exists already", hint="remove it, or name another folder")
    try:
        temporary = tempfile.mkdtemp(prefix=f".{base}.", suffix=".tmp", dir=parent)
    except OSError as error:
        raise DataError(f"{path!r} cannot be written: {error.strerror}") from error
    try:
        yield temporary
        os.chmod(temporary, 0o777 & ~_umask())
        for name in os.listdir(temporary):
            _sync(os.path.join(temporary, name))
        os.rename(temporary, path)
        _sync(parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _sync(path: str) -> None:
    """Has the system write a file or the entries of a folder to disk.

    Raises OSError when the disk is full or broken: some systems say so only now.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF):  # file systems without it
            raise
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
