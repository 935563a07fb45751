"""Python: a layer that the user writes as a class with Caffe's four verbs."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from layerforge.core.blob import View
from layerforge.core.errors import LayerError, did_you_mean
from layerforge.core.host_view import HostView
from layerforge.core.storage import HOST, Representation
from layerforge.layers.differentiate import Differentiable, Input, Output
from layerforge.netdef.params import Params, field

VERBS = ("setup", "reshape", "forward", "backward")


class PythonParams(Params, message="python_param"):
    module: str = field(str, required=True, doc="the module: a name on sys.path or beside the prototxt, or a .py file")
    layer: str = field(str, required=True, doc="the class in it, with setup, reshape, forward and backward")
    param_str: str = field(str, "", doc="a text for the class: its param_str")
    share_in_parallel: bool = field(bool, False, doc="old, has no effect")


class Recorded:
    """A bottom in pycaffe's manners while forward is recorded."""

    def __init__(self, given: Input) -> None:
        self.data, self.shape = given.data, given.shape
        self.count = given.count()
        self.num, self.channels, self.height, self.width = (*given.shape, 1, 1, 1, 1)[:4]


class UserParameter(HostView):
    """A parameter of a user's layer; it reads the recorded value while forward is recorded."""

    def __init__(self, view: Any, representation: Representation) -> None:
        super().__init__(view.blob, representation)
        self._view = view

    @property
    def data(self) -> np.ndarray:
        recorded: np.ndarray | None = self._view.recorded
        return super().data if recorded is None else recorded


class UserBlobs(list[Any]):
    """The parameters of a user's layer: `self.blobs.add_blob(3, 4)` makes one of this shape, zeros at the start."""

    def __init__(self, layer: Python) -> None:
        super().__init__()
        self._layer = layer

    def add_blob(self, *shape: int) -> None:
        """Makes a parameter; it is the last of the list."""
        self.append(UserParameter(self._layer.add_blob(shape), self._layer.seen))


class Python(Differentiable):
    """top = whatever `module.layer` makes of bottom

    It gets `param_str`, `phase` and `blobs`; its bottom and top have data, diff, shape, reshape(), num, width and
    count. Its reshape runs before every forward. What its code raises comes out as it is. With `state()` and
    `load_state(state)` it takes part in exact resume. A class that says `arrays = "device"` gets arrays of the net's
    device, CuPy's on a GPU; others get NumPy's everywhere. One that says `differentiate = True` needs forward alone.

    Source: Caffe's python_layer.hpp
    """

    type, Params = "Python", PythonParams
    bottoms, tops = (0, None), (0, None)
    dynamic = runs_user_code = True
    arrays, captured, uncaptured_reason = "host", False, "runs Python code of the user"

    def __init__(self, definition, **more):
        super().__init__(definition, **more)
        self._class = self._user_class()
        self.arrays = getattr(self._class, "arrays", "host")
        self.require(self.arrays in ("host", "device"), f"{self.params.layer} has arrays = {self.arrays!r}",
                     hint='arrays is "host" (NumPy) or "device"')
        self.seen = HOST if self.arrays == "host" else self.backend.representation
        self.xp = np if self.arrays == "host" else self.backend.xp
        self.differentiate = bool(getattr(self._class, "differentiate", False))

    def setup(self, bottom, top):
        self.user = self._class()
        self.user.param_str = self.user.param_str_ = self.params.param_str  # the second is an old name
        self.user.phase = int(self.phase)
        self.user.blobs = UserBlobs(self)
        if not hasattr(self.user, "type"):  # net.layers shows this object
            self.user.type = self.type
        if hasattr(self.user, "setup"):
            self.user.setup(self._shown(bottom), self._shown(top))

    def reshape(self, bottom, top):
        if self.differentiate and not _defines(self._class, "reshape"):
            super().reshape(bottom, top)
        else:
            self.user.reshape(self._shown(bottom), self._shown(top))

    def forward(self, bottom, top):
        if self.differentiate:
            self.user.xp = self.xp
        self.user.forward(self._shown(bottom), self._shown(top))

    def backward(self, top, propagate_down, bottom):
        if self.differentiate:
            super().backward(top, propagate_down, bottom)
        else:
            self.user.backward(self._shown(top), list(propagate_down), self._shown(bottom))

    def _shown(self, views: Sequence[View | Input | Output]) -> list[Any]:
        return [HostView(view.blob, self.seen) if isinstance(view, View) else
                Recorded(view) if isinstance(view, Input) else view for view in views]

    def state(self) -> dict[str, Any]:
        """What the user's layer wants to be saved."""
        return {"user": self.user.state()} if hasattr(self.user, "state") else {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Hands a saved state back; a class that has none is named in the log."""
        if "user" in state and hasattr(self.user, "load_state"):
            self.user.load_state(state["user"])
        else:
            logging.getLogger("layerforge").info("%s: nothing is restored: %s has no state() and load_state()",
                                                 self.definition, self.params.layer)

    def _user_class(self) -> Any:
        p = self.params
        module = self._module(p.module)
        found = getattr(module, p.layer, None)
        if found is None:
            classes = [name for name, member in vars(module).items() if isinstance(member, type)]
            raise LayerError(f"{self.definition}: module {p.module!r} ({module.__file__}) has no class {p.layer!r}",
                             where=p.where("layer"), hint=did_you_mean(p.layer, classes))
        verbs = ("forward",) if getattr(found, "differentiate", False) else VERBS
        missing = [verb for verb in verbs if not callable(getattr(found, verb, None))]
        self.require(callable(found) and not missing, f"{p.layer} of module {p.module!r} lacks {', '.join(missing)}",
                     field="layer",
                     hint="a Python layer has the methods setup, reshape, forward and backward")
        return found

    def _module(self, name: str) -> ModuleType:
        """The module: from sys.path as it is, else from the working folder, else from the folder of the prototxt."""
        folder, base = os.path.split(name[:-3] if name.endswith(".py") else name)
        places = [os.path.abspath(os.path.join(place, folder)) for place in ("", self.folder)]
        known, sys.path[:] = sys.path[:], [*sys.path, *places] if not folder else [*places, *sys.path]
        try:
            return importlib.import_module(base)
        except ModuleNotFoundError as error:
            if error.name is None or not (base == error.name or base.startswith(f"{error.name}.")):
                raise  # the user's module misses one of its own
            looked = " or in ".join(map(repr, dict.fromkeys(places)))
            raise LayerError(f"{self.definition}: there is no module {name!r} on sys.path, in {looked}",
                             where=self.params.where("module"),
                             hint="set PYTHONPATH, or put the file beside the prototxt") from None
        finally:
            sys.path[:] = known + [place for place in sys.path if place not in known and place not in places]


def _defines(user_class: type[Any], verb: str) -> bool:
    """Whether the user wrote the verb, not the facade's base class."""
    return any(verb in vars(cls) for cls in user_class.__mro__ if not cls.__module__.startswith("layerforge."))
