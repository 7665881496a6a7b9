"""The official pre-trained VQ-VAE of DSR, read into this project's one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmark.errors import WeightsError

from .vqvae import VqVae

FILES = ("vq_model_pretrained_128_4096.pckl", "vq_model_pretrained_128_4096.safetensors")
"""Names under which it is looked for in the weights folder."""

MODULES = {
    "_encoder_b._conv_1": "encoder_hi.0",
    "_encoder_b._conv_2": "encoder_hi.2",
    "_encoder_b._conv_3": "encoder_hi.4",
    "_encoder_b._residual_stack": "encoder_hi.5",
    "_encoder_t._conv_1": "encoder_lo.0",
    "_encoder_t._conv_2": "encoder_lo.2",
    "_encoder_t._residual_stack": "encoder_lo.4",
    "_pre_vq_conv_top": "to_lo",
    "_pre_vq_conv_bot": "to_hi",
    "_vq_vae_top._embedding.weight": "quantiser_lo.codes",
    "_vq_vae_bot._embedding.weight": "quantiser_hi.codes",
    "upsample_t": "up_lo",
    "_decoder_b._conv_1": "decoder.0",
    "_decoder_b._residual_stack": "decoder.1",
    "_decoder_b._conv_trans_1": "decoder.2",
    "_decoder_b._conv_trans_2": "decoder.4",
}
"""Official name -> ours. ``top`` (t) is the lower level, ``bot`` (b) the higher. In a residual stack
``_layers.0._block.1`` and ``.3`` are ``blocks.0.0`` and ``.2``: the ReLUs before count there."""

UNUSED = ("_ema_w", "_ema_cluster_size")
"""What only its training needed."""


def find_official(folder: Path | None) -> Path:
    """Find the checkpoint's file in the weights folder. Raises WeightsError saying where to get
    it."""
    for name in FILES:
        if folder is not None and (folder / name).is_file():
            return folder / name
    raise WeightsError(
        f"the official VQ-VAE of DSR: no {' or '.join(FILES)} in {folder or 'a weights folder'}; "
        "get it through the README of VitjanZ/DSR_anomaly_detection and pass its folder as "
        "--weights-dir (or BENCH_WEIGHTS), or train one here: --set vqvae.official=false"
    )


def load_official(path: Path) -> VqVae:
    """Load the official model, with nothing executed from the file.

    The official code reads images as OpenCV does, BGR; here the channels of the first and the last
    layer change places instead, so that the model takes and gives RGB.

    Raises:
        WeightsError: unreadable, or not this model.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # another format, another version, or something that would run code
        raise WeightsError(
            f"{path} cannot be read as plain tensors ({type(error).__name__}: {error}); wanted is "
            "the state dict of the official DiscreteLatentModel"
        ) from error
    tensors = from_official(found, str(path))
    model = VqVae(tensors["quantiser_lo.codes"].shape[0])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(
            f"{path} is no DSR VQ-VAE of 128 channels: {str(error).splitlines()[-1].strip()}"
        ) from error
    return model.requires_grad_(False).eval()


def from_official(found: object, owner: str) -> dict[str, Tensor]:
    """Turn the official state dict into ours, RGB. Raises WeightsError for missing or strange
    tensors."""
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise WeightsError(f"{owner} holds {type(found).__name__}; wanted is a dict of tensors")
    out: dict[str, Tensor] = {}
    strange = []
    for key, tensor in found.items():
        if key.rpartition(".")[2] in UNUSED:
            continue
        name = our_name(key)
        if name is None:
            strange.append(key)
        else:
            out[name] = tensor.detach().float()
    with torch.device("meta"):
        wanted = VqVae(1).state_dict().keys()
    missing = sorted(wanted - out.keys())
    if strange or missing:
        raise WeightsError(
            f"{owner} is not the official VQ-VAE: "
            f"unknown tensors {strange[:3] or 'none'}, missing {missing[:3] or 'none'}; wanted are "
            "the names of the official DiscreteLatentModel"
        )
    out["encoder_hi.0.weight"] = out["encoder_hi.0.weight"].flip(1)
    out["decoder.4.weight"] = out["decoder.4.weight"].flip(1)
    out["decoder.4.bias"] = out["decoder.4.bias"].flip(0)
    return out


def our_name(key: str) -> str | None:
    """Translate an official tensor's name into ours; None for one that is not the model's.

    >>> our_name("_encoder_t._residual_stack._layers.1._block.3.weight")
    'encoder_lo.4.blocks.1.2.weight'
    """
    for theirs, ours in MODULES.items():
        if key == theirs:
            return ours
        if key.startswith(theirs + "."):
            rest = key.removeprefix(theirs)
            rest = rest.replace("._layers.", ".blocks.")
            rest = rest.replace("._block.1.", ".0.").replace("._block.3.", ".2.")
            return ours + rest
    return None
