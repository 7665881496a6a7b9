"""Settings of methods and assets: read from a constructor's signature, checked against its types.

The signature is the single source: keyword-only parameters with annotations and defaults. ``--set``,
YAML and Python all come through :func:`resolve`.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, Literal, Union, get_args, get_origin

import yaml

from benchmark.errors import SettingsError, unknown


def declared(cls: Callable[..., object]) -> dict[str, tuple[Any, Any]]:
    """Return name -> (annotation, default) of a class's settings, in the order of its signature.

    A data set's root is no setting: ``partial(cls, root)`` declares the rest.
    """
    title = getattr(cls, "__name__", "") or getattr(cls, "func", cls).__name__
    out: dict[str, tuple[Any, Any]] = {}
    for name, parameter in inspect.signature(cls, eval_str=True).parameters.items():
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.default is parameter.empty:
            raise SettingsError(
                f"{title}: setting {name!r} must be keyword-only and have a default "
                f"(write `def __init__(self, *, {name}: int = 5)`)"
            )
        if parameter.annotation is parameter.empty:
            raise SettingsError(f"{title}: setting {name!r} has no type annotation")
        if not _storable(parameter.annotation):
            raise SettingsError(
                f"{title}: setting {name!r} is {describe(parameter.annotation)}, which no record can "
                "hold unchanged; allowed are int, float, bool, str, None, Literal, and tuples of "
                f"these (write `{name}: tuple[int, ...] = (1, 2)` for a list, str for a path)"
            )
        out[name] = (parameter.annotation, parameter.default)
    return out


def resolve(cls: Callable[..., object], given: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Return all settings of ``cls``: its defaults, overridden by ``given``.

    Args:
        cls: a detector or an asset class; ``partial(cls, root)`` of a data set.
        given: name -> value, from YAML, ``--set`` or Python. Lists become tuples.
        owner: what messages call it, for instance ``spade``.

    Raises:
        SettingsError: unknown name or wrong type; says what is allowed.
    """
    known = declared(cls)
    out = {name: default for name, (_, default) in known.items()}
    for name, value in given.items():
        if name not in known:
            raise SettingsError(unknown(f"setting of {owner}", name, known))
        out[name] = coerce(value, known[name][0], f"{owner}.{name}")
    return out


def coerce(value: Any, annotation: Any, name: str) -> Any:
    """Turn a value into the annotated type, without guessing: an int is a fine float, ``"5"`` is no
    int. ``1e-5`` is a float, which YAML reads as a text for want of a point.

    >>> coerce([1, 2], tuple[int, ...], "spade.layers")
    (1, 2)
    >>> coerce("1e-5", float, "stfpm.learning_rate")
    1e-05
    """
    ok, out = _fit(value, annotation)
    if not ok:
        quoted = ""
        if isinstance(value, bool | int | float | None) and _words(annotation):
            quoted = '; YAML reads words such as on and 01 as other than text: write "on", "01"'
        raise SettingsError(
            f"setting {name}: got {value!r} ({type(value).__name__}), "
            f"allowed is {describe(annotation)}{quoted}"
        )
    return out


def coerce_yaml(value: Any, written: Any, annotation: Any, name: str) -> Any:
    """Turn a YAML file's value into the annotated type as :func:`coerce` does; where a text is
    wanted and YAML made a number or a truth value of it (``01``, ``on``), take it as it is written.

    >>> coerce_yaml([1, True], ["01", "on"], tuple[str, ...], "categories")
    ('01', 'on')
    """
    try:
        return coerce(value, annotation, name)
    except SettingsError:
        ok, out = _fit(written, annotation)
        if not ok or written is None:
            raise
        return out


def _words(annotation: Any) -> bool:
    """Tell whether a text may be meant."""
    return annotation is str or any(isinstance(a, str) or _words(a) for a in get_args(annotation))


def _fit(value: Any, annotation: Any) -> tuple[bool, Any]:
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return True, value
    if origin in (Union, types.UnionType):
        for option in args:
            ok, out = _fit(value, option)
            if ok:
                return True, out
        return False, None
    if origin is Literal:
        return any(value == a and type(value) is type(a) for a in args), value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False, None
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
        if len(kinds) != len(value):
            return False, None
        parts = [_fit(v, k) for v, k in zip(value, kinds, strict=True)]
        return all(ok for ok, _ in parts), tuple(part for _, part in parts)
    if annotation is type(None) or annotation is None:
        return value is None, None
    if annotation is float:
        if isinstance(value, str) and re.fullmatch(r"[-+]?\d+[eE][-+]?\d+", value):
            value = float(value)
        fine = isinstance(value, int | float) and not isinstance(value, bool)
        return fine, float(value) if fine else None
    if annotation is str and isinstance(value, PurePath):  # a path is a text, from Python
        return True, str(value)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    return isinstance(annotation, type) and isinstance(value, annotation), value


def _storable(annotation: Any) -> bool:
    """Tell whether settings may have this type."""
    if get_origin(annotation) in (Union, types.UnionType, tuple):
        return all(_storable(a) for a in get_args(annotation) if a is not Ellipsis)
    plain = (int, float, bool, str, type(None), None)
    return get_origin(annotation) is Literal or annotation in plain


def describe(annotation: Any) -> str:
    """Describe a type in words.

    >>> describe(int | None), describe(Literal["mean", "concat"]), describe(tuple[int, ...])
    ('int or none', "'mean' or 'concat'", 'a list of int')
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(a) for a in args)
    if origin is Literal:
        return " or ".join(repr(a) for a in args)
    if origin is tuple:
        if args[-1] is Ellipsis:
            return f"a list of {describe(args[0])}"
        return "a list [" + ", ".join(describe(a) for a in args) + "]"
    if annotation is type(None):
        return "none"
    return getattr(annotation, "__name__", str(annotation))


def parse_assignment(text: str) -> tuple[str, str, Any]:
    """Split ``spade.k=5`` into ("spade", "k", 5); the value is read as YAML.

    >>> parse_assignment("spade.layers=[1, 2]")
    ('spade', 'layers', [1, 2])
    """
    left, equals, right = text.partition("=")
    method, dot, name = left.strip().partition(".")
    if not (equals and dot and method and name):
        raise SettingsError(f"--set {text!r}: write METHOD.SETTING=VALUE, for instance spade.k=5")
    try:
        return method, name, yaml.safe_load(right)
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {text!r}: the value is not YAML ({error})") from error


def as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as a record holds them: tuples become lists."""
    return {k: _plain(v) for k, v in settings.items()}


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value
