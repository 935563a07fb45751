"""Flags are read as Caffe's program reads them."""

from __future__ import annotations

import pytest

from layerforge.cli.flags import Command, Flag, UsageError, bind, parse, usage

FLAGS = {flag.name: flag for flag in (
    Flag("solver", str, "", "the solver", "FILE"), Flag("iterations", int, 50, "batches", least=1),
    Flag("level", int, 0), Flag("rate", float, 0.1), Flag("allow_nan", bool, False, "goes on"),
    Flag("phase", str, "", choices=("TRAIN", "TEST")))}


@pytest.mark.parametrize("argv", [["-solver", "a"], ["--solver", "a"], ["-solver=a"], ["--solver=a"]])
def test_one_dash_or_two_with_space_or_equals(argv):
    assert parse(argv, FLAGS) == ({"solver": "a"}, [])


@pytest.mark.parametrize(("argument", "value"), [
    ("--allow_nan", True), ("-allow_nan", True), ("--noallow_nan", False), ("--allow_nan=false", False),
    ("--allow_nan=1", True), ("--allow-nan", True), ("--no-allow-nan", None), ("--allow_nan=yes", True)])
def test_booleans_are_gflags(argument, value):
    if value is None:
        with pytest.raises(UsageError):
            parse([argument], FLAGS)
    else:
        assert parse([argument], FLAGS)[0] == {"allow_nan": value}


def test_a_boolean_takes_no_following_argument():
    assert parse(["--allow_nan", "train"], FLAGS) == ({"allow_nan": True}, ["train"])


def test_flags_stand_before_and_after_the_command():
    assert parse(["-level", "1", "train", "-solver", "s"], FLAGS) == ({"level": 1, "solver": "s"}, ["train"])


def test_a_negative_number_is_a_value():
    assert parse(["-level", "-1", "-rate", "-.5"], FLAGS)[0] == {"level": -1, "rate": -0.5}


def test_the_last_of_a_repeated_flag_counts():
    assert parse(["-level", "1", "-level=2"], FLAGS)[0] == {"level": 2}


def test_two_dashes_end_the_flags():
    assert parse(["--", "-solver"], FLAGS) == ({}, ["-solver"])


def test_a_value_may_hold_an_equals_sign():
    assert parse(["--solver=a=b"], FLAGS)[0] == {"solver": "a=b"}


def test_an_unknown_flag_names_the_nearest():
    with pytest.raises(UsageError, match="no flag --slover(.|\n)*did you mean --solver"):
        parse(["--slover", "a"], FLAGS)


@pytest.mark.parametrize("argv", [["--solver"], ["--solver", "--level", "1"]])
def test_a_missing_value_is_an_error(argv):
    with pytest.raises(UsageError, match="--solver needs a value"):
        parse(argv, FLAGS)


@pytest.mark.parametrize(("argument", "message"), [
    ("--iterations=many", "a whole number"), ("--iterations=0", "at least 1"), ("--rate=x", "a number"),
    ("--phase=TRIAN", "did you mean 'TRAIN'"), ("--allow_nan=maybe", "true or false"), ("--noallow_nan=1", "no value")])
def test_wrong_values_say_what_is_expected(argument, message):
    with pytest.raises(UsageError, match=message):
        parse([argument], FLAGS)


def test_positional_arguments_are_bound_by_name():
    command = Command("get", "", lambda args: 0, arguments=("WHAT", "[DIR]"))
    assert bind(command, ["a"]) == {"what": "a", "dir": None}
    with pytest.raises(UsageError, match="needs WHAT"):
        bind(command, [])
    with pytest.raises(UsageError, match="does not take the argument 'c'"):
        bind(command, ["a", "b", "c"])


def test_help_shows_flags_with_defaults_and_an_example():
    flags = (FLAGS["iterations"], FLAGS["phase"])
    command = Command("go", "goes", lambda args: 0, flags, examples=(("go -x", "runs"),))
    text = usage(command)
    assert "--iterations INT" in text and "(default 50)" in text and "TRAIN, TEST" in text and "go -x" in text
