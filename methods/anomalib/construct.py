"""Making a model of anomalib, with pre-trained networks that come from the run."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partialmethod
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from benchmark import POOLED
from benchmark.errors import MissingPackageError, SettingsError, WeightsError, unknown

Network = tuple[str, tuple[int | str, ...]]
"""A pre-trained network that a model asks timm for: its name, and the layers that it reads."""


def find(model: str) -> Any:
    """Find a class of anomalib.models. Raises SettingsError."""
    try:
        import anomalib.models as library
    except ImportError as error:
        raise MissingPackageError("method anomalib", "anomalib", error) from error
    if model not in library.__all__:
        raise SettingsError(unknown("anomalib.model", model, library.__all__))
    return getattr(library, model)


def read(model: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Read the constructor's arguments, values as YAML. Raises SettingsError."""
    known = set(inspect.signature(find(model)).parameters) - {*REPLACED, "pre_processor"}
    given = {}
    for text in arguments:
        name, _, value = text.partition("=")
        if name not in known:
            raise SettingsError(unknown(f"argument of anomalib's {model}", name, known))
        given[name] = yaml.safe_load(value)
    return given


REPLACED = ("post_processor", "evaluator", "visualizer")
"""Parts of a model that the harness stands in for."""


def construct(
    model: str,
    given: Mapping[str, Any],
    size: tuple[int, int],
    source: Callable[[str], Mapping[str, Tensor]] | None,
) -> tuple[Any, list[tuple[Network, nn.Module]]]:
    """Make a model for inputs of this size (height, width), and list the pre-trained networks that
    it asked timm for. Those get their tensors from ``source``, or none.

    Raises:
        SettingsError: its constructor refuses the arguments.
        WeightsError: a network has tensors that ``source`` does not give.
    """
    from torchvision.transforms.v2 import CenterCrop, Compose

    cls = find(model)
    taken = inspect.signature(cls).parameters
    parts: dict[str, Any] = {name: False for name in REPLACED if name in taken}
    if "pre_processor" in taken:
        own = cls.configure_pre_processor(image_size=size)
        steps = getattr(own.transform, "transforms", [own.transform])
        parts["pre_processor"] = type(own)(
            Compose([s for s in steps if s is not None and not isinstance(s, CenterCrop)])
        )
    with _timm_asks(source) as networks:
        try:
            return cls(**given, **parts), networks
        except (TypeError, ValueError, NotImplementedError, ImportError) as error:
            raise SettingsError(f"anomalib's {model} cannot be made: {error}") from error


@contextmanager
def _timm_asks(
    source: Callable[[str], Mapping[str, Tensor]] | None,
) -> Iterator[list[tuple[Network, nn.Module]]]:
    """Answer requests for pre-trained networks of timm while a model is constructed.

    Many models have no argument for the weights, so timm's factory is replaced for that moment.
    """
    import timm

    original, networks = timm.create_model, []

    def create(model_name: str, pretrained: bool = False, **options: Any) -> nn.Module:
        if not pretrained:
            return original(model_name, **options)
        if source is None:
            made: nn.Module = original(model_name, **options)
        else:
            tensors = dict(source(model_name))
            options["pretrained_cfg_overlay"] = {"state_dict": tensors}  # timm's way, from memory
            made = original(model_name, pretrained=True, **options)
            _check(made, tensors, model_name)
        partly = options.get("features_only") and options.get("out_indices")
        networks.append(((model_name, tuple(partly or (POOLED,))), made))
        return made

    timm.create_model = create  # type: ignore[assignment]
    try:
        yield networks
    finally:
        timm.create_model = original


def _check(made: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Refuse a network that timm has left partly untrained: it passes over what it does not find.

    Some of its wrappers rename what they hold, so values are compared and not names.
    """
    given: dict[torch.Size, list[Tensor]] = {}
    for tensor in tensors.values():
        given.setdefault(tensor.shape, []).append(tensor)
    unset = [
        key
        for key, value in made.state_dict().items()
        if not any(torch.equal(value, tensor.to(value)) for tensor in given.get(value.shape, ()))
    ]
    if unset:
        raise WeightsError(
            f"anomalib: {len(unset)} tensors of {name} are not in its weights, {unset[0]} first"
        )


@lru_cache(maxsize=16)
def asked(model: str, arguments: tuple[str, ...]) -> tuple[Network, ...]:
    """List the pre-trained networks of timm that a model asks for; it is constructed to see."""
    with quiet(), torch.random.fork_rng(devices=[]):
        _, networks = construct(model, read(model, arguments), (256, 256), None)
    return tuple(dict.fromkeys(network for network, _ in networks))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep anomalib and Lightning from telling of every step, on import too."""
    from tqdm import tqdm

    level, shown = logging.root.manager.disable, tqdm.__init__
    logging.disable(logging.WARNING)
    tqdm.__init__ = partialmethod(shown, disable=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        tqdm.__init__ = shown
