"""`layerforge run`: an old script, whose own line is `import caffe`, runs with this package in that place."""

from __future__ import annotations

import builtins
import os
import runpy
import sys
import unittest
from types import ModuleType, SimpleNamespace, TracebackType

import numpy as np

from layerforge.cli.flags import Command, UsageError
from layerforge.core.errors import DataError

ASSERTIONS = {
    "assertEquals": "assertEqual", "assertNotEquals": "assertNotEqual", "assertAlmostEquals": "assertAlmostEqual",
    "assertNotAlmostEquals": "assertNotAlmostEqual", "assert_": "assertTrue", "assertItemsEqual": "assertCountEqual",
    "assertRegexpMatches": "assertRegex", "assertRaisesRegexp": "assertRaisesRegex",
}
"""Names of unittest.TestCase that Python has dropped, and what they are called now."""
SCALARS = {"float": float, "int": int, "object": object, "str": str}
"""Names that NumPy has dropped: np.float was Python's float."""


def run(args: SimpleNamespace) -> int:
    """Runs the script as Python would: sys.argv, sys.path[0], __main__ and exit codes are the script's own.

    Raises DataError for a script that is missing.
    """
    target, *arguments = args.script
    as_module = target == "-m"
    if as_module and not arguments:
        raise UsageError("run -m needs the name of a module")
    if not as_module and not os.path.exists(target):
        raise DataError(f"script {target!r} is missing: there is no {os.path.abspath(target)!r}")
    from layerforge.pycaffe.alias import install_as_caffe, install_for_children
    from layerforge.pycaffe.modes import init_log

    install_as_caffe()
    init_log()  # as glog does by itself
    _give_back_old_names()
    sys.argv[:] = arguments if as_module else [target, *arguments]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.getcwd() if as_module else os.path.dirname(os.path.realpath(target))
    install_for_children()
    try:
        if as_module:
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        elif os.path.isdir(target):
            runpy.run_path(target, run_name="__main__")
        else:
            _run_file(target)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        traceback = _own_frames(error.__traceback__)
        sys.excepthook(type(error), error.with_traceback(traceback), traceback)
        return 1
    return 0


def _run_file(path: str) -> None:
    """Runs a file in a module `__main__` that stays: what the script leaves behind (threads, handlers) needs it."""
    main = ModuleType("__main__")
    main.__dict__.update(__file__=path, __builtins__=builtins, __cached__=None)
    sys.modules["__main__"] = main
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    exec(code, main.__dict__)


def _own_frames(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of this file and of runpy; None when there are no others."""
    at = traceback
    while at is not None and (at.tb_frame.f_code.co_filename in (__file__, runpy.__file__, "<frozen runpy>")):
        at = at.tb_next
    return at


def _give_back_old_names() -> None:
    """Names that unittest and NumPy have dropped, and that can mean nothing else, exist again in this process."""
    for old, new in ASSERTIONS.items():
        if not hasattr(unittest.TestCase, old):
            setattr(unittest.TestCase, old, getattr(unittest.TestCase, new))
    for name, kind in SCALARS.items():
        if name not in vars(np):
            setattr(np, name, kind)


command = Command(
    "run", "runs a Python script that says `import caffe`, unchanged", run, arguments=("SCRIPT...",), untouched=("-m",),
    details="""
Everything behind the script goes to it untouched, dashes included. With -m MODULE a module runs, as with python -m.
""",
    examples=(("layerforge run classify.py --gpu picture.jpg result.npy", "pycaffe's own script"),
              ("layerforge run -m pytest tests -q", "a module, here pytest over tests that import caffe")),
)
