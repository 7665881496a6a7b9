"""Textures: kept as an asset, drawn at any size, drawn here where there is no folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmark import Context, Geometry
from benchmark.errors import AssetError
from benchmark.methods._parts.textures import Photographs, Source, Textures

from ..helpers import noise


def kept(folder: Path, asset: Textures) -> Context:
    place = Context.alone(geometry=Geometry(resize=64), assets_dir=folder)
    state = asset.build(noise(5), place)
    asset.save(state, {"images": {"count": 5, "fingerprint": "f00"}}, folder)
    place.asset_settings = {asset.name: asset.settings()}
    return place


def test_an_asset_keeps_the_very_pixels_and_the_record_says_whose(tmp_path: Path) -> None:
    place = kept(tmp_path, Textures(origin="noise"))
    source = Source(Textures, place)
    assert source.facts["origin"] == "noise" and source.facts["count"] == 5
    assert source.facts["folder"]["fingerprint"] == "f00" and len(source.facts["sha256"]) == 16
    drawn = source.draw(40, (64, 64), torch.Generator().manual_seed(0))
    images = noise(5).batch(range(5)).pixels
    picks = torch.randint(5, (40,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn, images[picks]) and len(set(picks.tolist())) == 5
    assert source.draw(2, (32, 48), torch.Generator()).shape == (2, 3, 32, 48)


def test_fewer_may_be_kept_and_photographs_have_a_name_of_their_own(tmp_path: Path) -> None:
    place = kept(tmp_path, Photographs(most=2))
    assert Source(Photographs, place).facts["count"] == 2
    with pytest.raises(AssetError, match="bench pretrain textures"):
        Source(Textures, place)
    with pytest.raises(AssetError, match="most is 0"):
        Textures(most=0)


def test_without_a_folder_textures_are_drawn_and_differ() -> None:
    source = Source(None, Context.alone())
    assert source.facts == {"origin": "drawn"}
    drawn = source.draw(3, (32, 32), torch.Generator().manual_seed(1))
    assert drawn.shape == (3, 3, 32, 32) and 0 <= float(drawn.min()) < float(drawn.max()) <= 1
    assert float((drawn[0] - drawn[1]).abs().mean()) > 0.02
    assert float(drawn.std((2, 3)).min()) > 0.001, "a flat colour is no texture"
