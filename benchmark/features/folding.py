"""Batch normalisations folded into the convolutions before them, for networks that only infer.

A frozen normalisation is one factor and one shift per channel, which the convolution's weights and
bias can hold: a pass over every feature map is saved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

SLACK = 1e-4
"""Of the largest output: how far a folded network may be from the plain one to be used."""


def fold(model: nn.Module, outputs: Callable[[], list[Tensor]]) -> frozenset[str] | None:
    """Fold in place what can be folded.

    Args:
        model: in evaluation mode. Its normalisations are replaced by what follows them.
        outputs: runs the model on some images and returns all that it is used for.

    Returns:
        The names of the convolutions whose outputs are normalised now; None when the network's
        outputs have changed (it reads a convolution elsewhere, too) and it must not be used.
    """
    pairs: list[tuple[str, str]] = []
    made: dict[str, Any] = {}  # by convolution; held, so that no other output takes its identity

    def meets(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(_module: nn.Module, inputs: Any) -> None:
            pairs.extend((conv, name) for conv, out in made.items() if out is inputs[0])

        return hook

    def makes(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, _inputs, output: made.__setitem__(name, output)

    handles = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(makes(name)))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            handles.append(module.register_forward_pre_hook(meets(name)))
    try:
        before = outputs()
    finally:
        for handle in handles:
            handle.remove()
        made.clear()
    convolutions, norms = [c for c, _ in pairs], [n for _, n in pairs]
    pairs = [p for p in pairs if convolutions.count(p[0]) == norms.count(p[1]) == 1]
    for conv, norm in pairs:
        _fold(model, conv, norm)
    for old, new in zip(before, outputs(), strict=True):
        if not float((new - old).abs().max()) <= SLACK * float(old.abs().max()):
            return None
    return frozenset(conv for conv, _ in pairs)


def _fold(model: nn.Module, conv_name: str, norm_name: str) -> None:
    conv: Any = model.get_submodule(conv_name)
    norm: Any = model.get_submodule(norm_name)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    rest: nn.Module = nn.Identity()
    if type(norm) is not nn.BatchNorm2d:  # timm's, with dropout and activation inside
        rest = nn.Sequential(norm.drop, norm.act)
    parent, _, place = norm_name.rpartition(".")
    setattr(model.get_submodule(parent), place, rest)
