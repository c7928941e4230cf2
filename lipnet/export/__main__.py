"""``python -m lipnet.certify FILE``: recomputes an exported network's bound from its weights, and compares."""

import argparse
import os
import sys
from pathlib import Path

from lipnet import version
from lipnet.errors import UserError


def _path(typed: str) -> Path:
    return Path(os.path.expanduser(typed))


def main(arguments: list[str] | None = None) -> int:
    """Prints what was recomputed, or every difference; returns 0 where the certificate holds, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m lipnet.certify",
        description="Checks an exported network (task=export) against its certificate, from the weights alone: "
        "hashes, layers, preprocessing, and the Lipschitz bound, recomputed. Exit code 0: it holds; 1: it does not. "
        "Of a program of torch.export (.pt2) or an ONNX file it says what can be proved: exit code 1 if nothing.",
    )
    parser.add_argument("--version", action="version", version=version())
    parser.add_argument(
        "file",
        type=_path,
        metavar="FILE",
        help="certificate.json, or the directory that holds it; a .pt2 or .onnx file",
    )
    try:
        path = parser.parse_args(arguments).file
    except SystemExit as stop:  # argparse leaves with 2; a user's mistake is 1 here
        return 1 if stop.code else 0
    if path.suffix in (".pt2", ".onnx"):
        return _judge(path)
    from lipnet.export import verify
    from lipnet.export.certificate import CERTIFICATE

    file = path / CERTIFICATE if path.is_dir() else path
    if not file.exists():
        print(f"{path}: no certificate there, {file} does not exist; name the directory of an export", file=sys.stderr)
        return 1
    try:
        verified = verify(path)
    except UserError as error:
        print(
            f"{path}: the certificate does not hold",
            *(f"  {line}" for line in error.problems),
            sep="\n",
            file=sys.stderr,
        )
        return 1
    width = max((2, *(len(name) for name, _, _ in verified.layers)))
    for name, kind, bound in verified.layers:
        print(f"  layer {name:>{width}}  {kind:<12} {bound:.9f}")
    print(f"{path}: the certificate holds")
    print(f"  L2 Lipschitz constant at most {verified.claimed!r}; recomputed from the weights: {verified.bound!r}")
    if verified.assured:
        print("  assured: float32 answers are those of float64, by constants not below what the weights prove")
    print(f"  unchanged: {', '.join(verified.files)}")
    return 0


def _judge(path: Path) -> int:
    """Prints what is proved of a network in a file of another program."""
    from lipnet.export.judging import judge

    try:
        judged = judge(path)
    except UserError as error:
        print(f"nothing is proved: {error}", file=sys.stderr)
        return 1
    rows = [("node", "what", "its bound", "up to it")]
    rows += [(name, kind, f"{own:.9f}", f"{whole:.9f}") for name, kind, own, whole in judged.nodes]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, kind, own, whole in rows:
        print(f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {own:>{widths[2]}}  {whole:>{widths[3]}}")
    print(f"{path}: L2 Lipschitz constant at most {judged.bound!r} on inputs of shape {judged.shape}")
    for arithmetic, rounding in judged.rounding.items():
        slope, offset = rounding.error.slope, float(rounding.error.offset)
        print(f"  in {arithmetic}, outputs are off by at most {slope:.3g} |x| + {offset:.3g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
