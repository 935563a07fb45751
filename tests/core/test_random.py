"""Draws are addressed by number: order, threads and resuming do not change them."""

import numpy as np

from layerforge.core.random import Random


def test_a_draw_does_not_depend_on_those_before():
    a, b = Random(3).stream("mask"), Random(3).stream("mask")
    first = [a.next().random(4) for _ in range(3)]
    assert np.array_equal(b.at(2).random(4), first[2])


def test_names_give_different_numbers():
    run = Random(3)
    assert not np.array_equal(run.stream("a").at(0).random(4), run.stream("b").at(0).random(4))


def test_children_name_the_same_streams():
    run = Random(3)
    assert run.child("train").stream("mask") is run.child("train").stream("mask")
    assert run.child("train").stream("mask") is run.stream("train/mask")


def test_a_saved_state_continues_the_same_sequence():
    run = Random(5)
    run.stream("a").next()
    state = run.state()
    want = run.stream("a").next().random(3)
    other = Random(99)
    other.stream("a").next()
    other.load_state(run.seed, state)
    assert np.array_equal(other.stream("a").next().random(3), want)


def test_streams_made_after_loading_continue_too():
    run = Random(5)
    run.stream("late").next()
    other = Random(1)
    other.load_state(run.seed, run.state())
    assert other.stream("late").draws == 1


def test_a_drawn_seed_can_be_repeated():
    run = Random()
    assert np.array_equal(Random(run.seed).stream("x").at(0).random(3), run.stream("x").at(0).random(3))


def test_large_draw_numbers_do_not_overlap():
    stream = Random(1).stream("x")
    assert not np.array_equal(stream.at(2**40).random(4), stream.at(2**40 + 1).random(4))


def test_children_made_before_loading_continue_too():
    root = Random(1)
    child = root.child("layer")
    root.load_state(2, {})
    assert child.stream("mask").key == Random(2).child("layer").stream("mask").key
