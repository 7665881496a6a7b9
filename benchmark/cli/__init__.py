"""``bench``: the parser and what each command does."""

from benchmark.cli.parser import main as main
