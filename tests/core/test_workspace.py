"""Memory that is declared anew, or has moved, is told to those who point into it."""

import numpy as np

from layerforge.core.workspace import Workspace


def test_generation_rises_with_every_buffer_that_is_kept():
    workspace = Workspace()
    workspace.kept((2, 3), np.float32)
    assert workspace.generation == 1


def test_generation_rises_when_scratch_moves_and_not_before():
    workspace = Workspace()
    small, _ = workspace.scratch((4,), np.float32, 0)
    small.data[...] = 1
    before = workspace.generation
    again, _ = workspace.scratch((4,), np.float32, 0)
    again.data[...] = 2
    assert workspace.generation == before
    large, _ = workspace.scratch((400,), np.float32, 0)
    large.data[...] = 3
    assert workspace.generation == before + 1
