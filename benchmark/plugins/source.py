"""Source text of classes that have no file of their own, as in a notebook."""

from __future__ import annotations

import ast
import inspect
import linecache


def class_source(cls: type) -> str:
    """Return the source text of a class, and of the classes beside it that it derives from.

    Raises:
        OSError: some of it has no source.
    """
    mine = [base for base in cls.__mro__ if base.__module__ == cls.__module__]
    return "\n".join(map(_text, mine))


def _text(cls: type) -> str:
    """``inspect`` finds a class by the file of its module, which a notebook has none of; its methods
    know the cell they were written in."""
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        pass
    for member in vars(cls).values():
        code = getattr(inspect.unwrap(getattr(member, "__func__", member)), "__code__", None)
        if code is None:
            continue
        lines = linecache.getlines(code.co_filename)
        for node in ast.walk(ast.parse("".join(lines))):
            if not isinstance(node, ast.ClassDef) or node.name != cls.__name__:
                continue
            end = node.end_lineno or node.lineno
            start = min([node.lineno, *(part.lineno for part in node.decorator_list)])
            if start <= code.co_firstlineno <= end:
                return "".join(lines[start - 1 : end])
    raise OSError(f"{cls.__qualname__}: no source")
