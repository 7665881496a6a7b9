"""Network architectures of timm and torchvision: their names, layers and input."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from torch import nn

from benchmark.errors import WeightsError, unknown
from benchmark.features.spec import CLS, POOLED

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

DESCRIPTORS = (POOLED, CLS)


def untrained(name: str) -> nn.Module:
    """Make this model in training mode, its parameters drawn from torch's global generator.

    Raises:
        WeightsError: neither timm nor torchvision knows the name.
    """
    return create(name)


def create(name: str, **options: Any) -> nn.Module:
    """Make a model of timm or else of torchvision; ``options`` go to the factory of either.

    Vision transformers get position embeddings that follow the size of their input.

    Raises:
        WeightsError: neither timm nor torchvision knows the name.
    """
    import timm
    import torchvision

    bare = name.partition(".")[0]
    if not in_timm(name):
        if bare not in torchvision.models.list_models():
            known = ["resnet18", "wide_resnet50_2", "mobilenetv2_100", "squeezenet1_1"]
            raise WeightsError(
                unknown("backbone", name, known) + ", and any other model of timm or torchvision"
            )
        made: nn.Module = torchvision.models.get_model(bare, **options)
        return made
    chosen = name if options else bare
    try:
        made = timm.create_model(chosen, dynamic_img_size=True, **options)
    except TypeError:  # raised by every network that has no position embeddings to resample
        made = timm.create_model(chosen, **options)
    return made


def input_of(name: str) -> tuple[tuple[float, ...], tuple[float, ...], tuple[int, int] | None]:
    """Mean and deviation (of R, G, B in [0, 1]) that a model's weights were trained with, and the
    size (height, width) of its training images where the library states one."""
    import timm
    import torchvision

    bare = name.partition(".")[0]
    if in_timm(name):
        try:
            stated = timm.get_pretrained_cfg(hub_name(name))
        except RuntimeError:  # a tag that timm does not know, of a file in the weights folder
            stated = timm.get_pretrained_cfg(bare)
        if stated is None:
            return IMAGENET_MEAN, IMAGENET_STD, None
        _, height, width = stated.input_size
        return tuple(stated.mean), tuple(stated.std), (height, width)
    transforms = torchvision.models.get_model_weights(bare).DEFAULT.transforms()
    mean, std = getattr(transforms, "mean", IMAGENET_MEAN), getattr(transforms, "std", IMAGENET_STD)
    side = getattr(transforms, "crop_size", [None])[0]
    return tuple(mean), tuple(std), (side, side) if side else None


def in_timm(name: str) -> bool:
    import timm

    return bool(timm.is_model(name.partition(".")[0]))


def hub_name(name: str) -> str:
    """Prefer the papers' weights, torchvision's first ImageNet ones; timm has them as tv_in1k."""
    import timm

    tagged = f"{name}.tv_in1k"
    return tagged if "." not in name and tagged in timm.list_pretrained(f"{name}.*") else name


def layer_names(model: nn.Module, name: str, layers: Sequence[int | str]) -> tuple[str, ...]:
    """:meth:`Backbone.resolve` for a model that is no frozen backbone, such as a student."""
    stages = stages_of(model)
    modules = [module for module, _ in model.named_modules() if module]
    out = []
    for layer in layers:
        if isinstance(layer, int):
            if not 0 <= layer < len(stages):
                raise WeightsError(
                    f"backbone {name}: no layer with index {layer}; indices: {listed(stages)}; "
                    f"or name a module, such as {', '.join(modules[:8])}"
                )
            layer = stages[layer]
        elif layer not in (*DESCRIPTORS, *stages, *modules):
            near = difflib.get_close_matches(layer, modules, n=1)
            top = ", ".join([*(m for m in modules if "." not in m), *DESCRIPTORS])
            raise WeightsError(
                f"unknown layer of {name}: {layer!r}"
                + (f", did you mean {near[0]!r}?" if near else ";")
                + f" top-level modules: {top} (and the modules inside them)"
            )
        out.append(layer)
    return tuple(out)


def stages_of(model: nn.Module) -> list[str]:
    """List what an index counts, by the names that timm gives: resolutions, or blocks."""
    info = getattr(model, "feature_info", None)
    return [str(stage["module"]) for stage in info] if isinstance(info, list) else []


def is_transformer(model: nn.Module) -> bool:
    """Tell whether all layers have one resolution and one width, and a final normalisation."""
    info = getattr(model, "feature_info", None)
    if not isinstance(info, list) or not hasattr(model, "forward_intermediates"):
        return False
    shapes = {(stage["num_chs"], stage["reduction"]) for stage in info}
    return len(shapes) == 1 and isinstance(getattr(model, "norm", None), nn.Module)


def listed(stages: Sequence[str]) -> str:
    return ", ".join(f"{i} ({s})" for i, s in enumerate(stages)) or "none"
