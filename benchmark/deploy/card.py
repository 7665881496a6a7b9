"""``card.md``: what an exported detector is, for whoever gets the folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmark.deploy.loaded import LoadedDetector
from benchmark.errors import BenchError
from benchmark.metrics.names import METRICS
from benchmark.plugins.registry import Registry
from benchmark.records.frame import window
from benchmark.records.kept import Kept

ENDING = ".12g"
"""How numbers that code may need are printed."""


def card(
    kept: Kept, info: Mapping[str, Any], loaded: LoadedDetector, plugin: Iterable[str | Path] = ()
) -> str:
    """Write the card of an exported detector as Markdown.

    Args:
        kept: the detector.
        info: the exported JSON, with ``proof`` and ``graph``.
        loaded: the same in PyTorch, for its backbones.
        plugin: files of data sets that are not built in.
    """
    parts = [
        f"# {kept.name}: {kept.key['category']}",
        _what(kept, info),
        "## Input\n\n" + _input(kept, info),
        "## Output\n\n" + _output(kept, info),
        "## Proof\n\n" + _proof(info),
        "## Metrics of the record\n\n" + _metrics(info),
        "## Cost\n\n" + _cost(info),
        "## Licences\n\n" + _licences(kept, loaded, plugin),
        "## Settings\n\n" + _settings(kept, info),
    ]
    return "\n\n".join(parts) + "\n"


def _what(kept: Kept, info: Mapping[str, Any]) -> str:
    key, images = kept.key, info["provenance"]["images"]["found"]
    random = (
        "\n\n**Random weights**: its backbone is not pre-trained; good for trying things out."
        if info["random_weights"]
        else ""
    )
    cited = f" ({info['method']['citation']})" if info["method"]["citation"] else ""
    return (
        f"An anomaly detector{cited}. It was fitted on {info['trained_on']} normal images of "
        f"{key['category']} in the data set {key['dataset']} (protocol {info['protocol']}, seed "
        f"{key['seed']}, data fingerprint {key['data']}), saw no defect while it was fitted, and was "
        f"tested on {images['good']} good and {images['defective']} defective images. It knows "
        "nothing of other objects, cameras or light." + random
    )


def _input(kept: Kept, info: Mapping[str, Any]) -> str:
    height, width = kept.size
    geometry = kept.key["geometry"]
    many = (
        "B is any number of images."
        if info["graph"]["batch"] == "any"
        else "B is 1: this method goes image by image, which a graph of any batch size cannot."
    )
    way = "native size, unchanged" if geometry["resize"] is None else window(geometry)
    how = (
        f"Pillow's {geometry['filter']} filter"
        if geometry["antialias"]
        else f"{geometry['filter']} interpolation without averaging"
    )
    return (
        f"`images`: uint8 (B, {height}, {width}, 3), RGB, 0 to 255, not normalised. {many}\n\n"
        "Decoding and resizing are outside of the graph. `bench predict IMAGES --onnx FOLDER --out "
        "DIR` does them; other code has to do the same:\n\n"
        "1. Decode to 8-bit RGB, upright (EXIF orientation applied, colour profile not); alpha is "
        "dropped; 16-bit grey is divided by 257 and rounded.\n"
        f"2. Resize and crop: {way}; {how}, rounded to 8 bits."
    )


def _output(kept: Kept, info: Mapping[str, Any]) -> str:
    found = info["threshold"]
    lines = ["`score`: float (B,), higher is more anomalous."]
    if info["map_limits"]:
        height, width = kept.size
        low, high = info["map_limits"]
        lines.append(
            f"`map`: float (B, {height}, {width}), anomaly of each input pixel; over the test images "
            f"from {low:.6g} to {high:.6g}."
        )
    if found["image"] is None:
        lines.append("Threshold: none, since the run held out no normal images.")
    else:
        lines.append(
            f"Threshold: a score above {found['image']:{ENDING}} is called defective. It was set on "
            f"{found['held_out_images']} normal images that were held out of training, never on "
            f"defects; of new normal images at most about {100 * found['false_alarms']:.1f} % lie "
            "above it."
        )
    if found["pixel"] is not None:
        lines.append(
            f"Pixel threshold: {found['pixel']:{ENDING}}, set in the same way on the highest pixel of "
            "each of those images."
        )
    return "\n\n".join(lines)


def _proof(info: Mapping[str, Any]) -> str:
    proof = info["proof"]
    rows = [
        ("scores, largest difference", proof["scores"]["largest"], proof["scores"]["of_range"]),
    ]
    if proof["maps"]:
        rows.append(
            ("maps, largest difference", proof["maps"]["largest"], proof["maps"]["of_range"])
        )
    table = "| | absolute | of the range |\n| --- | --- | --- |\n"
    table += "\n".join(f"| {what} | {a:.3g} | {b:.2g} |" for what, a, b in rows)
    auroc = ["undefined" if v is None else f"{v:.6f}" for v in proof["auroc"]]
    why = ""
    if proof["alone"]:
        why = f" (image by image the detector itself differs by {proof['alone']:.2g})"
    return (
        f"The graph was run on the {proof['images']} test images, from their files on, and compared "
        f"with the record:\n\n{table}\n\n{proof['swapped'][0]} of {proof['swapped'][1]} pairs of "
        f"images in another order; {proof['decisions'] or 0} other decisions; image AUROC {auroc[0]}, "
        f"in the record {auroc[1]}. Tolerance: {proof['tolerance']:.2g} of the range{why}, beyond which "
        "nothing is exported."
    )


def _metrics(info: Mapping[str, Any]) -> str:
    metrics = info["metrics"]
    rows = [
        f"| {name} | {metrics[name]:.4f} |" for name in METRICS if metrics.get(name) is not None
    ]
    return "| | |\n| --- | --- |\n" + "\n".join(rows) if rows else "None is defined."


def _cost(info: Mapping[str, Any]) -> str:
    proof, cost, where = info["proof"], info["cost"], info["environment"]
    lines = [
        ("this graph", *proof["seconds"]),
        ("PyTorch, beside it", *proof["torch_seconds"]),
        ("PyTorch, in the run", cost["latency_batch_1_seconds"], cost["latency_batch_n_seconds"]),
    ]
    table = "| ms per image | alone | in a batch |\n| --- | --- | --- |\n"
    table += "\n".join(f"| {w} | {1000 * a:.1f} | {1000 * b:.1f} |" for w, a, b in lines)
    return (
        f"{table}\n\nDecoded pixels to map. The run: {where['device']}, {where['threads']} threads. "
        f"State {cost['stored_bytes'] / 1e6:.1f} MB, backbone {cost['backbone_bytes'] / 1e6:.1f} MB."
    )


def _licences(kept: Kept, loaded: LoadedDetector, plugin: Iterable[str | Path]) -> str:
    source = kept.key["source"]
    try:
        data = Registry([Path(p) for p in plugin]).dataset(source).licence
    except BenchError:  # a plugin's data set that is not given
        data = "not known here"
    lines = [f"- Data ({source}): {data}"]
    for entry in kept.key["weights"]:
        model = loaded.context.backbone(entry["backbone"]).model
        named = (getattr(model, "pretrained_cfg", None) or {}).get("license")
        said = (
            f"timm names {named} for its own weights of this model" if named else "not stated here"
        )
        if entry["source"] == "random":
            said = "none, random"
        lines.append(
            f"- Weights of {entry['backbone']} (from {entry['source']}, hash {entry['sha256']}): "
            f"{said}; where they were trained on ImageNet: its images are for non-commercial research"
        )
    for name, sha256 in kept.key["assets"].items():
        lines.append(f"- {name} (hash {sha256}): built by its owner from images of theirs")
    return "\n".join(lines) + "\n\nWhether both allow your use is for you to check."


def _settings(kept: Kept, info: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {value} |" for name, value in sorted(info["settings"].items())]
    packages = ", ".join(f"{k} {v}" for k, v in info["environment"]["packages"].items())
    return (
        f"`{kept.key['method']}`, version {kept.key['version']}, precision {kept.key['precision']}"
        "\n\n| | |\n| --- | --- |\n" + "\n".join(rows) + f"\n\nFitted with {packages}."
    )
