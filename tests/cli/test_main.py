"""The program finds commands, turns errors into messages, and keeps its exit codes."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

import layerforge
from layerforge.cli import main as program
from layerforge.cli.flags import Command
from layerforge.cli.main import COMMANDS, GENERAL, LOGGING, load, main
from layerforge.core.errors import NetError


@pytest.fixture
def failing(monkeypatch):
    """Makes `device_query` raise what the test gives."""

    def install(error):
        def run(args):
            raise error
        commands = {**load(), "device_query": Command("device_query", "", run)}
        monkeypatch.setattr(program, "load", lambda: commands)
    return install


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"layerforge {layerforge.__version__}\n"


def test_without_a_command_the_overview_is_shown_and_the_usage_is_wrong(capsys):
    assert main([]) == 2
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name, capsys):
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"layerforge {name}" in out.split("examples")[1]
    assert main(["help", name]) == 0
    assert capsys.readouterr().out == out


def test_a_flag_means_the_same_kind_in_every_command():
    kinds = {}
    for flag in (flag for command in load().values() for flag in (*command.flags, *GENERAL, *LOGGING)):
        assert kinds.setdefault(flag.name, flag.kind) is flag.kind, flag.name


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["device_qeury"]) == 2
    assert "did you mean 'device_query'?" in capsys.readouterr().err


def test_a_command_may_be_written_with_a_dash(capsys):
    assert main(["device-query", "--help"]) == 0


def test_plugins_are_loaded_before_the_command_runs(capsys):
    assert main(["--plugins", "no_such_module", "device_query"]) == 1
    assert "plugin 'no_such_module' is missing" in capsys.readouterr().err


def test_a_flag_of_another_command_is_wrong_usage(capsys):
    assert main(["layers", "--threads", "1"]) == 2
    assert "layers has no flag --threads" in capsys.readouterr().err


def test_caffe_flags_without_meaning_are_taken_with_a_word(capsys):
    assert main(["layers", "Nothing", "-iterations", "5"]) == 1
    assert "--iterations has no effect on layers" in capsys.readouterr().err


def test_flags_of_the_logging_library_are_taken_silently(capsys):
    assert main(["device_query", "--alsologtostderr", "-minloglevel", "2"]) == 0
    assert capsys.readouterr().err == ""


def test_an_error_of_the_input_is_a_message_with_its_hint(failing, capsys):
    failing(NetError("no such blob", where="net.prototxt:3", hint="look again"))
    assert main(["device_query"]) == 1
    assert capsys.readouterr().err == "layerforge: net.prototxt:3: no such blob\n  hint: look again\n"


def test_a_full_disk_is_a_message(failing, capsys):
    failing(OSError(errno.ENOSPC, "No space left on device", "out.caffemodel"))
    assert main(["device_query"]) == 1
    assert capsys.readouterr().err == "layerforge: out.caffemodel: No space left on device\n"


def test_ctrl_c_is_a_word_and_130(failing, capsys):
    failing(KeyboardInterrupt())
    assert main(["device_query"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_an_error_of_ours_keeps_its_traceback(failing):
    failing(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["device_query"])


def test_python_dash_m_is_the_program():
    done = subprocess.run([sys.executable, "-m", "layerforge", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout == f"layerforge {layerforge.__version__}\n"


def test_a_reader_that_goes_away_is_no_error():
    line = f"{sys.executable} -m layerforge --help | true"
    done = subprocess.run(line, shell=True, check=True, capture_output=True, text=True)
    assert done.stderr == ""
