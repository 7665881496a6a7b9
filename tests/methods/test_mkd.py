"""MKD: the cloner's size, loss, score and gradients against slow computations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from benchmark import Context, Geometry
from benchmark.errors import DetectorError
from benchmark.methods.mkd import Mkd
from benchmark.methods.mkd.cloner import Cloner, guided

from ..helpers import noise

FAST: dict[str, Any] = {"backbone": "resnet18", "layers": (1, 2, 3, 4), "epochs": 1, "batch": 4}


def context() -> Context:
    return Context.alone(geometry=Geometry(resize=32))


@pytest.fixture(scope="module")
def fitted() -> tuple[Mkd, Context]:
    place = context()
    return Mkd(**FAST).fit(noise(4, side=32), place), place


def slow_gap(teacher: Tensor, cloner: Tensor, weight: float) -> float:
    """One image's gap at one layer, from (C, h, w) twice."""
    t, c = teacher.double().flatten().numpy(), cloner.double().flatten().numpy()
    cosine = t @ c / np.linalg.norm(t) / np.linalg.norm(c)
    return float(1 - cosine + weight * ((t - c) ** 2).mean())


def test_cloner_has_the_official_layers_and_size() -> None:
    cloner = Cloner((128, 256, 512, 512))
    convs = [m for m in cloner.modules() if isinstance(m, nn.Conv2d)]
    widths = [16, 16, 16, 128, 16, 16, 256, 16, 16, 512, 16, 16, 512]
    assert [c.out_channels for c in convs] == widths
    inside = [3, *widths[:-1]]
    # no bias; batch norms follow all but the last convolution before each pooling
    wanted = sum(9 * i * o for i, o in zip(inside, widths, strict=True)) + 8 * 2 * 16
    assert sum(p.numel() for p in cloner.parameters()) == wanted == 343_984
    out = cloner(torch.rand(2, 3, 64, 64))
    assert [tuple(o.shape[1:]) for o in out] == [
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
        (512, 2, 2),
    ]


def test_default_layers_are_the_poolings_of_vgg() -> None:
    with torch.device("meta"):
        import timm

        model = timm.create_model("vgg16")
    for name in Mkd().layers:
        assert isinstance(model.get_submodule(str(name)), nn.MaxPool2d), name


def test_teacher_sees_images_that_are_not_normalised(fitted: tuple[Mkd, Context]) -> None:
    assert [spec.normalise for spec in fitted[0].needs()] == [False]
    pixels = torch.rand(1, 3, 32, 32)
    assert torch.equal(fitted[0]._input(pixels, fitted[1]), pixels)
    assert not torch.equal(Mkd(**FAST, normalise=True)._input(pixels, fitted[1]), pixels)


def test_score_sums_the_gaps_of_three_layers_the_loss_of_four(
    fitted: tuple[Mkd, Context],
) -> None:
    detector, place = fitted
    batch = noise(2, seed=1, side=32).batch([0, 1])
    teachers = place.features(batch, detector.needs()[0])
    with torch.no_grad():
        cloners = detector.cloner_.eval()(batch.pixels)
    scores = detector.predict(batch, place).scores
    gaps = detector._gaps(teachers, cloners)
    for b in range(2):
        slow = [slow_gap(t[b], c[b], 0.5) for t, c in zip(teachers, cloners, strict=True)]
        np.testing.assert_allclose(gaps[b].numpy(), slow, rtol=1e-4)
        assert float(scores[b]) == pytest.approx(sum(slow[1:]), rel=1e-4)


@pytest.mark.parametrize("rescale", [False, True])
def test_map_is_made_of_the_gradient_of_each_images_own_score(
    rescale: bool, fitted: tuple[Mkd, Context]
) -> None:
    whole, place = fitted
    detector = Mkd(**FAST, rescale=rescale, gradient="vanilla").load_state(whole.state())
    batch = noise(2, seed=1, side=32).batch([0, 1])
    with torch.no_grad():  # as a run calls it
        maps = detector.predict(batch, place).maps
    assert maps is not None
    teacher = place.backbone("resnet18")
    for b in range(2):
        pixels = batch.pixels[b : b + 1].clone().requires_grad_()
        pairs = zip(
            teacher(pixels, teacher.resolve((1, 2, 3, 4)), normalise=False, gradients=True)[1:],
            detector.cloner_(pixels)[1:],
            strict=True,
        )
        score = torch.zeros(())
        for t, c in pairs:
            cosine = nn.functional.cosine_similarity(t.flatten(1), c.flatten(1))
            score = score + (1 - cosine).mean() + 0.5 * (t - c).square().mean()
        torch.autograd.backward(score)
        assert pixels.grad is not None
        steep = pixels.grad[0].abs().sum(0).double().numpy()
        most = np.quantile(steep, 0.99)
        slow = np.minimum(steep, most)
        if rescale:
            slow = (slow - slow.min()) / (most - slow.min())
        slow = gaussian_filter(slow, 4)
        np.testing.assert_allclose(maps[b].numpy(), slow, rtol=2e-3, atol=1e-3 * slow.max())


def test_guided_gradients_pass_only_where_they_are_positive() -> None:
    linear = nn.Linear(3, 1, bias=False)
    network = nn.Sequential(nn.ReLU(inplace=True), linear)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[2.0, -3.0, 5.0]]))
    x = torch.tensor([[1.0, 1.0, -1.0]], requires_grad=True)
    with guided(network):
        torch.autograd.backward(network(x * 1).sum())
    assert x.grad is not None and x.grad.tolist() == [[2.0, 0.0, 0.0]]
    plain = torch.autograd.grad(network(x * 1).sum(), x)[0]
    assert plain.tolist() == [[2.0, -3.0, 0.0]], "nothing stays behind"


def test_layers_of_other_strides_are_refused() -> None:
    with pytest.raises(DetectorError, match=r"mkd: the layers .* strides of 4, 8, 16 and 32"):
        Mkd(**{**FAST, "layers": (0, 1, 2, 3)}).fit(noise(2, side=32), context())
