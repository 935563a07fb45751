"""The program `layerforge`: finds the command, reads the flags, and turns errors into messages.

Exit codes: 0 done; 1 an error in a file or of the machine; 2 wrong usage; 130 interrupted; others are a command's own.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import layerforge
from layerforge.cli.flags import Command, Flag, UsageError, bind, describe, parse, usage
from layerforge.core.errors import LayerForgeError, did_you_mean

COMMANDS = (
    "train", "test", "time", "device_query", "run", "layers", "check",
    "dataset", "convert_imageset", "compute_image_mean",
    "extract_features", "classify", "detect",
    "draw", "plot", "export", "inspect", "diff",
    "upgrade_net", "upgrade_solver", "parse_log",
    "zoo", "demo",
)
"""Each is a file of this folder that holds a `command`."""

ALIASES = {
    "upgrade_net_proto_text": "upgrade_net", "upgrade_net_proto_binary": "upgrade_net",
    "upgrade_solver_proto_text": "upgrade_solver",
}
"""Caffe's names of commands that have others here."""

GENERAL = (
    Flag("help", bool, False, "this text"),
    Flag("version", bool, False, "the version"),
    Flag("plugins", str, "", "files (.py) or modules with layers of your own, separated by commas", "MODULES"),
)
LOGGING = tuple(Flag(name, kind, None) for name, kind in (
    ("logtostderr", bool), ("alsologtostderr", bool), ("colorlogtostderr", bool), ("stderrthreshold", str),
    ("minloglevel", int), ("v", int), ("vmodule", str), ("logbufsecs", int)))
"""Flags of Caffe's logging library, which scripts carry; they are taken and have no effect."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    name = ""
    try:
        commands = load()
        given, others = parse(argv, all_flags(commands), commands)
        if given.pop("version", False):
            print(f"layerforge {layerforge.__version__}")
            return 0
        wants_help = given.pop("help", False)
        if others[:1] == ["help"]:
            wants_help, others = True, others[1:]
        if not others:
            print(overview(commands))
            return 0 if wants_help else 2
        name = others[0].replace("-", "_")
        name = ALIASES.get(name, name)
        if name not in commands:
            wrong, name = others[0], ""
            raise UsageError(f"there is no command {wrong!r}",
                             hint=did_you_mean(wrong, commands) or f"the commands are {', '.join(commands)}")
        if wants_help:
            print(usage(commands[name]))
            return 0
        if given.get("plugins"):
            from layerforge.solver.plugins import load_plugins

            load_plugins([part.strip() for part in given["plugins"].split(",") if part.strip()])
        return commands[name].run(arguments(commands[name], given, others[1:]))
    except UsageError as error:
        print(f"layerforge: {error}\n  layerforge {name + ' ' if name else ''}--help tells more", file=sys.stderr)
        return 2
    except LayerForgeError as error:
        print(f"layerforge: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `layerforge layers | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a folder without permission
        place = f"{error.filename}: " if error.filename else ""
        print(f"layerforge: {place}{error.strerror or error}", file=sys.stderr)
        return 1
    except MemoryError:
        print("layerforge: out of memory\n  hint: a smaller batch_size needs less", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("layerforge: interrupted", file=sys.stderr)
        return 130


def load() -> dict[str, Command]:
    """Name → command, in the order of the overview."""
    return {name: importlib.import_module(f"layerforge.cli.{name}").command for name in COMMANDS}


def all_flags(commands: dict[str, Command]) -> dict[str, Flag]:
    """Every flag of every command: flags may stand before the command, so all are known while reading.

    Where commands allow different values of a flag, all values pass here, and the command checks its own.
    """
    flags: dict[str, Flag] = {}
    for flag in (flag for command in commands.values() for flag in command.flags):
        known = flags.setdefault(flag.name, flag)
        if (known.choices, known.least) != (flag.choices, flag.least):
            flags[flag.name] = replace(known, choices=(), least=None)
    flags.update({flag.name: flag for flag in (*GENERAL, *LOGGING)})
    flags["h"] = Flag("help", bool, False)
    return flags


def arguments(command: Command, given: dict, others: Sequence[str]) -> SimpleNamespace:
    """Flags with their defaults and positional arguments, as attributes.

    Raises UsageError for a flag of another command, unless it is one of Caffe's: then a line says it has no effect.
    """
    own = {flag.name: flag for flag in command.flags}
    every = all_flags(load())
    for name in given:
        if name in own:
            own[name].check(given[name])
            continue
        if name in {flag.name for flag in (*GENERAL, *LOGGING)}:
            continue
        if not every[name].caffe:
            raise UsageError(f"{command.name} has no flag --{name}", hint=did_you_mean(name, own))
        print(f"layerforge: --{name} has no effect on {command.name}", file=sys.stderr)
    values = {name: given.get(name, flag.default) for name, flag in own.items()}
    return SimpleNamespace(**values, **bind(command, others))


def overview(commands: dict[str, Command]) -> str:
    """The help without a command."""
    width = max(map(len, commands))
    lines = ["layerforge COMMAND [flags]", "", f"  {(layerforge.__doc__ or '').splitlines()[0]}", ""]
    lines += ["commands", *(f"  {name:<{width}}  {command.summary}" for name, command in commands.items())]
    lines += ["", "flags", *describe(GENERAL), "", "  layerforge COMMAND --help shows a command's flags and examples."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
