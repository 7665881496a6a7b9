"""``bench``: the command line. Heavy libraries load inside the command that needs them."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark import __version__
from benchmark.console import warned
from benchmark.errors import BenchError, RecordWarning, in_words
from benchmark.places import RESULTS, expanded
from benchmark.texts import shown_name

THRESHOLD = "how thresholds are set on held-out normal images: quantile:.95, max or mean+3sd"
MASKS = "data sets of yours, for their masks"
RUN_EXAMPLE = "example: bench run --methods spade padim --dataset mvtec --data-root ~/data"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit status: 0 fine, 1 a cell or check failed, 2 wrong use."""
    # Before any library starts threads: those that wait shall sleep. On a shared machine busy waiting
    # was measured to cost a run three to four times its CPU time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not _supported():
        print(
            "bench: Windows is not supported; run it on Linux or macOS, or in the Windows Subsystem "
            "for Linux",
            file=sys.stderr,
        )
        return 2
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a letter gets its number
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    given = parser().parse_args(arguments)
    try:
        from benchmark.cli.commands import COMMANDS

        _expand(given)
        with warned(RecordWarning, lambda text: print(f"bench: {text}", file=sys.stderr)) as told:
            status = COMMANDS[given.command](given)
        return status or int(bool(told))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nbench: stopped; finished cells are kept, the same command goes on from here",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except (MemoryError, OSError, RuntimeError) as error:
        known = in_words(error)
        if known is error:
            raise
        print(f"bench: {known}", file=sys.stderr)
        return 2


def _supported() -> bool:
    """Tell whether the system has the calls of Linux and macOS; Windows has not."""
    try:
        import fcntl  # noqa: F401
    except ImportError:
        return False
    return True


PATHS = (
    *("results", "data_root", "weights_dir", "assets_dir", "plugin", "config"),
    *("check", "out", "into", "to", "images", "runs", "sources", "detector", "onnx"),
)
"""Options whose values are paths, or may be."""


def _expand(given: argparse.Namespace) -> None:
    """Replace ``~`` in paths, which a shell does for --x DIR and not for --x=DIR; compose the
    letters of categories' names as those of data sets are."""
    if getattr(given, "categories", None):
        given.categories = [shown_name(name) for name in given.categories]
    named = (*PATHS, "name") if given.command in ("table", "check") else PATHS
    for name in named:
        value = getattr(given, name, None)
        if isinstance(value, list):
            setattr(given, name, [_path(part) for part in value])
        elif value:
            setattr(given, name, _path(value))


def _path(value: str | Path) -> str | Path:
    if not str(value).startswith("~"):
        return value
    path = expanded(value)
    return str(path) if isinstance(value, str) else path


def parser() -> argparse.ArgumentParser:
    """Build the parser of all commands and options."""
    top = argparse.ArgumentParser(
        prog="bench",
        description="Benchmark image anomaly detectors: exact metrics, shared features, the "
        "papers' own tables.",
        epilog=RUN_EXAMPLE,
    )
    top.add_argument("--version", action="version", version=f"bench {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _run(commands.add_parser("run", help="run methods on a data set", epilog=RUN_EXAMPLE))
    _list(commands.add_parser("list", help="list methods, datasets, metrics or tables"))
    _table(commands.add_parser("table", help="print a table of results"))
    _compare(commands.add_parser("compare", help="two runs, or runs and published numbers"))
    _plot(commands.add_parser("plot", help="draw pictures of results"))
    _report(commands.add_parser("report", help="all results as one HTML file"))
    _evaluate(commands.add_parser("evaluate", help="all metrics again from stored scores"))
    _scores(commands.add_parser("scores", help="per-image scores and decisions as CSV"))
    _merge(commands.add_parser("merge", help="records of several folders in one"))
    _export_results(
        commands.add_parser("export-results", help="all records as one file, to hand on")
    )
    _predict(commands.add_parser("predict", help="verdicts of a kept detector on new images"))
    _export(commands.add_parser("export", help="a kept detector as an ONNX graph, with proof"))
    _data(commands.add_parser("data", help="where a data set is, and whether it is whole"))
    _new(commands.add_parser("new", help="write a method file to start from"))
    _check(commands.add_parser("check", help="test that a method or data set keeps its contract"))
    _pretrain(commands.add_parser("pretrain", help="build a pre-trained asset once"))
    return top


class Several(argparse.Action):
    """Values of an option that may be given again: ``--plugin A --plugin B`` is ``--plugin A B``.

    Unlike argparse's ``extend``, the first occurrence replaces the default.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        given = getattr(namespace, self.dest)
        earlier = [] if given is self.default else given
        setattr(namespace, self.dest, [*earlier, *values])


def _run(p: argparse.ArgumentParser) -> None:
    _common_run(p)
    p.add_argument(
        "--methods", action=Several, nargs="+", metavar="NAME", help="see: bench list methods"
    )
    p.add_argument("--seeds", action=Several, nargs="+", type=int, metavar="N", help="default: 0")
    p.add_argument(
        "--protocol",
        choices=["standard", "paper"],
        help="standard (default): same images and geometry for all; paper: each method's own",
    )
    p.add_argument(
        "--image-size",
        type=lambda text: int(text) if text.isdecimal() else text,
        metavar="N|HxW",
        help="side of the square input, or height x width, such as 640x256",
    )
    p.add_argument(
        "--keep-aspect",
        action="store_true",
        default=None,
        help="resize the shorter side to the image size, the other one in proportion",
    )
    p.add_argument(
        "--mask-threshold",
        type=int,
        metavar="N",
        help="grey masks: values above N of 255 are defective (default: refuse grey)",
    )
    p.add_argument(
        "--holdout", type=float, metavar="F", help="fraction of normal training images held out"
    )
    p.add_argument(
        "--set",
        action=Several,
        nargs="+",
        metavar="OWNER.NAME=VALUE",
        help="a method's or the data set's setting, for instance spade.k=5",
    )
    p.add_argument("--table", metavar="NAME", help="run what a paper's table needs")
    p.add_argument("--config", type=Path, metavar="FILE.yaml", help="the same names in a file")
    p.add_argument("--name", metavar="NAME", help="name of the data set in results")
    p.add_argument("--force", action="store_true", default=None, help="redo finished cells")
    p.add_argument(
        "--no-maps", dest="maps", action="store_false", default=None, help="do not keep maps"
    )
    p.add_argument(
        "--dry-run",
        action="store_true",
        default=None,
        help="list cells, what is done, and how long the rest will take",
    )
    p.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        help="of what is trained (mixed precision; default: float32)",
    )
    p.add_argument(
        "--backbone-precision",
        choices=["float32", "bfloat16"],
        help="of frozen backbones (default: float32)",
    )
    p.add_argument(
        "--shots",
        action=Several,
        nargs="+",
        type=int,
        metavar="K",
        help="also with the first K training images of an order that is the same for all",
    )
    p.add_argument(
        "--contaminate",
        action=Several,
        nargs="+",
        type=float,
        metavar="R",
        help="also with a share of the defective test images among the training images",
    )
    p.add_argument(
        "--corrupt",
        action=Several,
        nargs="+",
        metavar="KIND[:N|:N-M]",
        help="also let the kept detectors judge corrupted test images: brightness, contrast, blur, "
        "noise, jpeg, shift, rotate, shadow; strengths 1 to 5",
    )
    p.add_argument(
        "--keep",
        action="store_true",
        default=None,
        help="keep the fitted detectors beside their records, for bench predict and export",
    )
    p.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="hand the categories to Ray: started here, or auto, or HOST:PORT of a cluster",
    )
    p.add_argument("--gpus-per-worker", type=float, metavar="N", help="with --ray; such as 0.5")
    p.add_argument("--cpus-per-worker", type=int, metavar="N", help="with --ray")


def _common_run(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--dataset", action=Several, nargs="+", metavar="NAME", help="default: synthetic"
    )
    p.add_argument(
        "--categories", action=Several, nargs="+", metavar="NAME", help="default: all there are"
    )
    p.add_argument("--device", help="auto (default), cpu, cuda, cuda:1")
    p.add_argument("--data-root", metavar="DIR", help="data set's folder, or the one above it")
    p.add_argument("--weights-dir", metavar="DIR", help="looked into before the hubs")
    p.add_argument(
        "--weights", choices=["auto", "random"], help="random: no pre-training, labelled so"
    )
    p.add_argument("--assets-dir", metavar="DIR", help="pre-trained parts of methods")
    p.add_argument(
        "--plugin",
        action=Several,
        nargs="+",
        metavar="FILE.py",
        help="methods or data sets of yours",
    )
    p.add_argument("--threads", type=int, metavar="N", help="default: all cores")
    p.add_argument("--results", metavar="DIR", help="default: results/runs")


def _records(p: argparse.ArgumentParser, methods: bool = True) -> None:
    """Add the options that say which records are shown."""
    p.add_argument("--results", action=Several, nargs="+", default=[RESULTS], metavar="DIR")
    p.add_argument("--dataset", metavar="NAME", help="as in the results folder")
    p.add_argument("--protocol", metavar="LABEL", help="as in the results folder")
    if methods:
        p.add_argument(
            "--methods", action=Several, nargs="+", metavar="NAME", help="as bench run names them"
        )


def _list(p: argparse.ArgumentParser) -> None:
    p.add_argument("what", choices=["methods", "datasets", "metrics", "tables"])
    p.add_argument("--plugin", action=Several, nargs="+", default=[], metavar="FILE.py")


def _table(p: argparse.ArgumentParser) -> None:
    p.add_argument("name", help="see: bench list tables; or a FILE.yaml of yours")
    p.add_argument("--format", choices=["markdown", "latex", "csv", "html"], default="markdown")
    p.add_argument(
        "--metric",
        action=Several,
        nargs="+",
        metavar="NAME",
        help="for per-category (default: image_auroc), summary",
    )
    p.add_argument(
        "--view",
        choices=["both", "published", "run"],
        default="both",
        help="of a paper's table: both with the difference (default), or one side",
    )
    p.add_argument(
        "--common", action="store_true", help="average over the categories that all methods have"
    )
    p.add_argument("--threshold", metavar="RULE", help=f"{THRESHOLD} (default: the record's)")
    p.add_argument(
        "--ensemble", action="store_true", help="also the mean scores over seeds, as detectors"
    )
    p.add_argument("--plugin", action=Several, nargs="+", default=[], metavar="FILE.py", help=MASKS)
    p.add_argument(
        "--check",
        nargs="?",
        const="",
        metavar="FILE",
        help="re-derive every cell from the score files; FILE: a saved table, in any format",
    )
    p.add_argument(
        "--intervals",
        action="store_true",
        help="of per-category and summary: what the choice of test images explains, in every cell",
    )
    p.add_argument(
        "--data-root", metavar="DIR", help="for --check and --intervals of pixel metrics"
    )
    _records(p)


def _compare(p: argparse.ArgumentParser) -> None:
    p.add_argument("runs", nargs="*", metavar="RUN", help="two: methods, readable names or folders")
    p.add_argument(
        "--published", action="store_true", help="every record against its published number"
    )
    p.add_argument("--metric", default="image_auroc", metavar="NAME", help="default: image_auroc")
    p.add_argument("--data-root", metavar="DIR", help="masks, for intervals of pixel metrics")
    p.add_argument("--common", action="store_true", help="averages over common categories")
    p.add_argument("--format", choices=["markdown", "latex", "csv", "html"], default="markdown")
    p.add_argument("--plugin", action=Several, nargs="+", default=[], metavar="FILE.py", help=MASKS)
    _records(p, methods=False)


def _plot(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "what",
        choices=["gallery", "histograms", "curves", "cost", "defects", "hard", "ranks", "stress"],
        help="gallery: worst misses and false alarms first; defects: recall by defect type",
    )
    p.add_argument("--metric", default="image_auroc", metavar="NAME", help="for cost")
    p.add_argument("--categories", action=Several, nargs="+", metavar="NAME")
    p.add_argument("--data-root", metavar="DIR", help="data set's folder, or the one above it")
    p.add_argument("--out", metavar="DIR", help="default: pictures/ in the results folder")
    p.add_argument("--format", choices=["png", "pdf", "svg"], default="png")
    p.add_argument("--count", type=int, default=5, metavar="N", help="gallery: images of each kind")
    p.add_argument("--plugin", action=Several, nargs="+", default=[], metavar="FILE.py")
    _records(p)


def _report(p: argparse.ArgumentParser) -> None:
    p.add_argument("--data-root", metavar="DIR", help="for pictures of the data set's images")
    p.add_argument("--no-pictures", action="store_true", help="tables only")
    p.add_argument("--out", metavar="FILE.html", help="default: report.html in the results folder")
    p.add_argument("--plugin", action=Several, nargs="+", default=[], metavar="FILE.py")
    _records(p)


def _evaluate(p: argparse.ArgumentParser) -> None:
    p.add_argument("--results", default=RESULTS, metavar="DIR")
    p.add_argument("--threshold", metavar="RULE", help=f"{THRESHOLD} (default: quantile:.95)")
    p.add_argument("--data-root", metavar="DIR")
    p.add_argument("--plugin", action=Several, nargs="+", default=[], metavar="FILE.py")


def _scores(p: argparse.ArgumentParser) -> None:
    p.add_argument("--threshold", metavar="RULE", help=f"{THRESHOLD} (default: the record's)")
    p.add_argument("--categories", action=Several, nargs="+", metavar="NAME")
    p.add_argument("--seeds", action=Several, nargs="+", type=int, metavar="N")
    _records(p)


def _merge(p: argparse.ArgumentParser) -> None:
    p.add_argument("sources", nargs="+", metavar="RESULTS", help="folders, or exported files")
    p.add_argument("--into", required=True, metavar="DIR", help="new, or with records")


def _export_results(p: argparse.ArgumentParser) -> None:
    p.add_argument("--to", required=True, metavar="FILE", help="FILE.parquet or FILE.json")
    p.add_argument("--results", default=RESULTS, metavar="DIR")


def _kept(p: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the options that say which kept detector is meant."""
    p.add_argument(
        "--detector",
        required=required,
        metavar="RECORD|FOLDER|NAME",
        help='kept by bench run --keep; a name such as "PatchCore (resnet18)" is looked for in '
        "--results",
    )
    p.add_argument("--category", metavar="NAME", help="which, where there are several")
    p.add_argument("--seed", type=int, metavar="N")
    p.add_argument("--dataset", metavar="NAME", help="as in the results folder")
    p.add_argument("--results", action=Several, nargs="+", default=[RESULTS], metavar="DIR")
    p.add_argument("--weights-dir", metavar="DIR", help="looked into before the hubs")
    p.add_argument("--data-root", metavar="DIR", help="of the record's test images")
    p.add_argument("--threads", type=int, default=0, metavar="N", help="default: all cores")
    p.add_argument("--plugin", action=Several, nargs="+", default=[], metavar="FILE.py")


def _predict(p: argparse.ArgumentParser) -> None:
    p.add_argument("images", nargs="*", metavar="IMAGES", help="files, and folders of any depth")
    _kept(p, required=False)
    p.add_argument("--onnx", metavar="FOLDER", help="a graph of bench export instead of a detector")
    p.add_argument("--out", metavar="DIR", help="table, maps, pictures and contact sheet")
    p.add_argument(
        "--maps",
        choices=["png", "npy", "none"],
        default="png",
        help="16-bit PNG (default), float32",
    )
    p.add_argument("--no-pictures", action="store_true", help="no overlays, no contact sheet")
    p.add_argument("--batch-size", type=int, default=0, metavar="N", help="default: as in the run")
    p.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1")
    p.add_argument("--force", action="store_true", help="judge all images anew")
    p.add_argument(
        "--check",
        dest="prove",
        action="store_true",
        help="judge the record's own test images instead, and compare with the record",
    )


def _export(p: argparse.ArgumentParser) -> None:
    _kept(p, required=True)
    p.add_argument("--to", choices=["onnx"], default="onnx")
    p.add_argument("--out", required=True, metavar="DIR", help="graph, JSON and card.md")


def _data(p: argparse.ArgumentParser) -> None:
    p.add_argument("name", help="see: bench list datasets")
    p.add_argument("--data-root", metavar="DIR")
    p.add_argument("--set", action=Several, nargs="+", default=[], metavar="NAME.SETTING=VALUE")
    p.add_argument("--download", action="store_true", help="fetch it first, where that is allowed")
    p.add_argument(
        "--write", action="store_true", help="write a folder.yaml that says how it is read now"
    )
    p.add_argument("--mask-threshold", type=int, metavar="N", help="as in bench run")
    p.add_argument(
        "--shortcuts",
        action="store_true",
        help="also how well brightness, sharpness, colour or file size alone tell the labels apart",
    )
    p.add_argument("--plugin", action=Several, nargs="+", default=[], metavar="FILE.py")


def _new(p: argparse.ArgumentParser) -> None:
    p.add_argument("what", choices=["method"])
    p.add_argument("name", help="lower case with underscores, for instance my_method")
    p.add_argument("--into", type=Path, default=Path(), metavar="DIR", help="default: here")


def _check(p: argparse.ArgumentParser) -> None:
    p.add_argument("name", help="a known name, or a plugin FILE.py")
    p.add_argument("--weights-dir", metavar="DIR", help="default: random weights")
    p.add_argument("--data-root", metavar="DIR", help="for a data set that needs a folder")


def _pretrain(p: argparse.ArgumentParser) -> None:
    p.add_argument("name", help="an asset, for instance igd-encoder")
    p.add_argument("--images", required=True, metavar="DIR", help="a folder of natural images")
    p.add_argument("--assets-dir", metavar="DIR", help="where it is kept (or BENCH_ASSETS)")
    p.add_argument("--weights-dir", metavar="DIR")
    p.add_argument("--weights", choices=["auto", "random"], default="auto")
    p.add_argument("--device", default="auto")
    p.add_argument("--set", action=Several, nargs="+", default=[], metavar="ASSET.NAME=VALUE")
    p.add_argument("--plugin", action=Several, nargs="+", default=[], metavar="FILE.py")
    p.add_argument("--force", action="store_true", help="build it again")
