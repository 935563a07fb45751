"""Numbers that start parameters: the same from one thread and from several, piece by piece and at once."""

import numpy as np
import pytest

from layerforge.core import threads
from layerforge.core.random import Random
from layerforge.layers.draws import LEAST
from layerforge.layers.fillers import FILLERS, FillerParams, FirstValue

MANY = (LEAST * 8 * 3 + 5,)  # enough for three threads, and a block that is not full


def params(**values):
    p = FillerParams.__new__(FillerParams)
    p.__dict__.update({name: spec.default for name, spec in FillerParams.specs().items()}, **values)
    return p


def generator():
    return Random(5).stream("filler0").at(2)


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_uniform_numbers_are_those_that_one_draw_gives(cores):
    with threads.limited(cores):
        got = FILLERS["uniform"](params(min=-0.25, max=0.5), MANY, generator())
    want = -0.25 + 0.75 * generator().random(MANY, np.float32)
    assert np.array_equal(got, want)


@pytest.mark.parametrize("cores", [1, 3])
def test_xavier_numbers_are_those_that_one_draw_gives(cores):
    shape = (MANY[0] // 3, 3)
    with threads.limited(cores):
        got = FILLERS["xavier"](params(), shape, generator())
    want = 1.0 * (2 * generator().random(shape, np.float32) - 1)
    assert np.array_equal(got, want)


@pytest.mark.parametrize("name", ["uniform", "xavier", "gaussian", "msra"])
def test_a_generator_goes_on_behind_what_a_filler_drew(name):
    alone, several = generator(), generator()
    for rng, cores in ((alone, 1), (several, 3)):
        with threads.limited(cores):
            FILLERS[name](params(), MANY, rng)
    assert np.array_equal(alone.random(7, np.float32), several.random(7, np.float32))


def test_a_generator_in_the_middle_of_a_block_goes_on_from_there():
    rng, other = generator(), generator()
    for each in (rng, other):
        each.random(3, np.float32)
    with threads.limited(3):
        got = FILLERS["uniform"](params(), MANY, rng)
    assert np.array_equal(got, other.random(MANY, np.float32))


def test_generators_of_other_kinds_serve():
    got = FILLERS["uniform"](params(), MANY, np.random.default_rng(1))
    assert np.array_equal(got, np.random.default_rng(1).random(MANY, np.float32))


def test_gaussian_and_msra_numbers_are_a_normal_draw_scaled():
    shape = (600, 600)  # with pages of their own
    drawn = generator().standard_normal(shape, np.float32)
    assert np.array_equal(FILLERS["gaussian"](params(mean=0.5, std=2.0), shape, generator()), 0.5 + 2.0 * drawn)
    assert np.array_equal(FILLERS["msra"](params(), shape, generator()), (2 / 600) ** 0.5 * drawn)


@pytest.mark.parametrize("name", ["uniform", "xavier", "gaussian", "msra"])
def test_pieces_of_a_first_value_are_the_whole(name):
    first = FirstValue(params(type=name, mean=0.5, std=2.0), (70, 50), Random(5).stream("filler0"))
    pieces = list(first.pieces(1001))
    assert [len(piece) for piece in pieces] == [1001, 1001, 1001, 497]
    assert np.array_equal(np.concatenate(pieces), first().ravel())


@pytest.mark.parametrize("more", [
    dict(type="gaussian", sparse=3), dict(type="positive_unitball"), dict(type="constant"),
])
def test_what_depends_on_other_numbers_is_made_as_a_whole(more):
    assert FirstValue(params(**more), (7, 5), Random(5).stream("filler0")).pieces(8) is None
