"""The U-Net that DSR and DRAEM share."""

from __future__ import annotations

import torch
from torch import nn

from benchmark.methods._parts.convolutions import UNet


def net() -> UNet:
    return UNet(nn.InstanceNorm2d, 3, (4, 8, 16, 16), (16, 8, 4))


def test_nothing_goes_around_the_merges() -> None:
    network = net()
    network.merge[2].register_forward_pre_hook(lambda _m, given: (given[0] * 0,))
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(network(x), network(x + torch.rand_like(x)))


def test_skips_stand_behind_what_comes_up() -> None:
    network = net()
    network.up[2].register_forward_hook(lambda _m, _given, out: out * 0)
    x, other = torch.rand(2, 1, 3, 16, 16)
    assert not torch.allclose(network(x), network(other))
    last = network.get_parameter("merge.2.0.weight")
    assert last.shape[1] == 8
    with torch.no_grad():
        last[:, 4:] = 0
    assert torch.equal(network(x), network(other))
