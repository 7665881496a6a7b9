"""Options of the command line, without running a command."""

from __future__ import annotations

import argparse

import pytest

from benchmark.cli.parser import parser

COMMANDS: dict[str, argparse.ArgumentParser] = next(
    action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
)
SEVERAL = [
    (command, action.option_strings[0])
    for command, options in COMMANDS.items()
    for action in options._actions
    if action.option_strings and action.nargs in ("+", "*")
]


@pytest.mark.parametrize(("command", "option"), SEVERAL)
def test_an_option_of_several_values_may_be_given_again(command: str, option: str) -> None:
    first: list[str] = []  # one value for each positional and each required option
    for action in COMMANDS[command]._actions:
        value = str(next(iter(action.choices))) if action.choices else "x"
        if not action.option_strings and action.nargs is None:
            first.append(value)
        elif action.required and action.option_strings:
            first += [action.option_strings[0], value]
    dest = option.removeprefix("--").replace("-", "_")

    def values(*given: str) -> list[str]:
        found = vars(parser().parse_args([command, *first, *given]))[dest]
        return [f"{value:g}" if isinstance(value, float) else str(value) for value in found]

    assert values(option, "1", option, "2", "3") == ["1", "2", "3"]
    assert values(option, "1", "2") == ["1", "2"]
    assert values(option, "1") == ["1"], "what is given replaces the default"


def test_every_command_takes_several_plugins_where_it_takes_one() -> None:
    takes = {command for command, option in SEVERAL if option == "--plugin"}
    assert takes == {
        command
        for command, options in COMMANDS.items()
        if any("--plugin" in action.option_strings for action in options._actions)
    }
    assert {"run", "list", "table", "compare", "report"} <= takes
