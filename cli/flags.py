"""Flags as gflags takes them: one dash or two, `--flag value` or `--flag=value`, `--flag` and `--noflag` for booleans.

Flags stand anywhere among the arguments; `--` ends them. A dash inside a name is an underscore: `--sigint-effect`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any

from layerforge.core.errors import LayerForgeError, did_you_mean, nearest

TRUE, FALSE = ("true", "t", "1", "yes", "y"), ("false", "f", "0", "no", "n")


class UsageError(LayerForgeError):
    """The command line itself is wrong: exit code 2."""


@dataclass(frozen=True)
class Flag:
    """One flag. `default` is also what the command sees when the flag is absent.

    kind      str, int, float or bool
    metavar   what stands for the value in the help
    caffe     one of Caffe's own flags: taken by every command, as in Caffe, and ignored where it has no meaning
    """

    name: str
    kind: type = str
    default: Any = None
    doc: str = ""
    metavar: str = ""
    choices: tuple[str, ...] = ()
    least: int | None = None
    caffe: bool = False

    def value(self, text: str) -> Any:
        """The value that a text stands for.

        Raises UsageError when it is none.
        """
        try:
            value = self.kind(text) if self.kind is not bool else _boolean(text)
        except ValueError:
            kind = {int: "a whole number", float: "a number", bool: "true or false"}[self.kind]
            raise UsageError(f"--{self.name} takes {kind}, got {text!r}") from None
        self.check(value)
        return value

    def check(self, value: Any) -> None:
        """Raises UsageError when the value is none of the choices, or too small."""
        if self.choices and value not in self.choices:
            raise UsageError(f"--{self.name} takes {', '.join(self.choices)}, got {value!r}",
                             hint=did_you_mean(value, self.choices))
        if self.least is not None and value < self.least:
            raise UsageError(f"--{self.name} must be at least {self.least}, got {value}")


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    summary   one line for the list of commands
    run       gets every flag and argument as an attribute; returns the exit code
    arguments the names of positional arguments; "[name]" may be left out; "name..." stands for one and all behind it,
              which reach the command as a list and as they are, flags of theirs included
    untouched flags that begin such a list too
    examples  (command line, what it does)
    """

    name: str
    summary: str
    run: Callable[[SimpleNamespace], int]
    flags: tuple[Flag, ...] = ()
    arguments: tuple[str, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    details: str = ""
    untouched: tuple[str, ...] = ()

    @property
    def passes_on(self) -> bool:
        """Whether its arguments are another program's."""
        return any(name.endswith("...") for name in self.arguments)


def parse(
    argv: Sequence[str], flags: Mapping[str, Flag], commands: Mapping[str, Command] = MappingProxyType({})
) -> tuple[dict[str, Any], list[str]]:
    """The values of the flags that are given, and the other arguments.

    commands  those by name that may pass arguments on

    Raises UsageError for a flag that is not in `flags`, with the nearest one, and for a value that is missing or wrong.
    """
    given: dict[str, Any] = {}
    others: list[str] = []
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return given, others + rest
        command = commands.get(others[0]) if others else None
        if command and command.passes_on and (argument in command.untouched or not _is_flag(argument)):
            return given, [*others, argument, *rest]
        if not _is_flag(argument):
            others.append(argument)
            continue
        name, equals, text = argument.lstrip("-").partition("=")
        flag, negated = _find(name, flags)
        if flag.kind is bool and not equals:
            given[flag.name] = not negated
            continue
        if negated:
            raise UsageError(f"--{name} takes no value")
        if not equals:
            if not rest or (_is_flag(rest[0]) and _known(rest[0], flags)):
                raise UsageError(f"--{flag.name} needs a value", hint=f"--{flag.name} {_metavar(flag)}: {flag.doc}")
            text = rest.pop(0)
        given[flag.name] = flag.value(text)
    return given, others


def bind(command: Command, arguments: Sequence[str]) -> dict[str, Any]:
    """The positional arguments by name.

    Raises UsageError when one is missing or too many are given.
    """
    if len(arguments) > len(command.arguments) and not command.passes_on:
        surplus = arguments[len(command.arguments)]
        raise UsageError(f"{command.name} does not take the argument {surplus!r}")
    bound: dict[str, Any] = {}
    for i, name in enumerate(command.arguments):
        if i >= len(arguments) and not name.startswith("["):
            raise UsageError(f"{command.name} needs {name.rstrip('.')}")
        value = list(arguments[i:]) if name.endswith("...") else arguments[i] if i < len(arguments) else None
        bound[name.strip("[].").lower()] = value
    return bound


def usage(command: Command) -> str:
    """The help of a command."""
    lines = [f"layerforge {' '.join([command.name, *command.arguments])} [flags]", "", f"  {command.summary}"]
    if command.details:
        lines += ["", *("  " + line if line else "" for line in command.details.strip().splitlines())]
    lines += ["", "flags", *describe(command.flags)] if command.flags else []
    lines += ["", "examples"]
    for line, what in command.examples:
        lines += [f"  {line}", f"      {what}"]
    return "\n".join(lines)


def describe(flags: Iterable[Flag]) -> list[str]:
    """Aligned lines, a flag each."""
    rows = [(f"--{flag.name} {_metavar(flag)}".rstrip(), _doc(flag)) for flag in flags]
    width = max((len(left) for left, _ in rows), default=0)
    return [f"  {left:<{width}}  {doc}" for left, doc in rows]


def _metavar(flag: Flag) -> str:
    return "" if flag.kind is bool else flag.metavar or flag.kind.__name__.upper()


def _doc(flag: Flag) -> str:
    default = "" if flag.default in (None, "", False) else f" (default {flag.default})"
    return flag.doc + (f": {', '.join(flag.choices)}" if flag.choices else "") + default


def _is_flag(argument: str) -> bool:
    return argument.startswith("-") and len(argument) > 1 and not argument[1].isdigit() and argument[1] != "."


def _known(argument: str, flags: Mapping[str, Flag]) -> bool:
    return argument.lstrip("-").partition("=")[0].replace("-", "_") in flags


def _find(name: str, flags: Mapping[str, Flag]) -> tuple[Flag, bool]:
    """The flag of this name, and whether the name is its --no form."""
    plain = name.replace("-", "_")
    if plain in flags:
        return flags[plain], False
    positive = flags.get(plain[2:]) if plain.startswith("no") else None
    if positive is not None and positive.kind is bool:
        return positive, True
    raise UsageError(f"there is no flag --{name}", hint=_did_you_mean(plain, flags) or "--help lists the flags")


def _did_you_mean(name: str, flags: Iterable[str]) -> str | None:
    found = nearest(name, flags)
    return None if found is None else f"did you mean --{found}?"


def _boolean(text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError(text)
