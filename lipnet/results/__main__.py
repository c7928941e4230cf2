"""Tables and figures over many runs: ``python -m lipnet.results DIR``, installed ``lipnet-results DIR``."""

import argparse
import os
import sys
from pathlib import Path

from lipnet import version
from lipnet.display.fitting import terminal_width
from lipnet.display.terminal import take_everything
from lipnet.errors import UserError
from lipnet.results.collect import find_runs
from lipnet.results.compare import build_tables, filter_runs
from lipnet.results.groups import group_runs
from lipnet.results.layout import FORMATS, terminal
from lipnet.results.notes import notes, notes_on_groups
from lipnet.results.paper import PAPER_NOTES
from lipnet.runs.files import write_atomically

_EPILOG = """\
A row is a configuration: data set, model, method (the convolution; in fc, the linear layers), and a column for every
other key that varies. Its runs differ in the seed alone. Columns: clean, certified@RADIUS, each attack as
NAME@RADIUS, mean_radius (of the certificates), L_upper and L_lower (the Lipschitz constant: proved, and measured),
train_s; of task=wasserstein the estimate, its bounds and the truth; of task=gan transport_of_generated, the exact
optimal transport of test images from generated ones, and transport_of_training, which a perfect generator would reach.
certified is of the network as evaluated in float64 (with certify_dtype=float32: in float32), which the title
says where it is the same in all rows; certified_float32 is of the same network evaluated in float32. In a terminal,
columns that have no room are named below the table; files and pipes get all. Runs that failed or have not finished are
listed there too; a table can be made while a sweep goes on.

examples:
  %(prog)s outputs
  %(prog)s outputs --filter dataset=mnist --filter conv=bcop --filter conv=rko --sort certified@1.58
  %(prog)s outputs/sweeps --paper --format markdown --output table.md
  %(prog)s outputs --columns clean,certified@36/255,pgd@36/255
  %(prog)s outputs/sweeps --figures figures
  %(prog)s outputs/sweeps --html report.html
"""


def _path(typed: str) -> Path:
    return Path(os.path.expanduser(typed))  # a shell leaves the ~ of --html=~/report.html


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="lipnet-results",
        description="A table of all runs in or below some directories: mean and spread over seeds.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=version())
    made.add_argument(
        "directories", nargs="+", type=_path, metavar="DIR", help="run directories, or folders above them"
    )
    made.add_argument(
        "--format", choices=list(FORMATS), default="terminal", help="default: terminal; csv: full precision"
    )
    made.add_argument("--output", type=_path, metavar="FILE", help="write the table there instead of printing it")
    made.add_argument("--sort", metavar="KEY", help="a column or a key of the configuration; measures: largest first")
    made.add_argument("--reverse", action="store_true", help="turn the order round")
    made.add_argument(
        "--filter",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="only runs with this value of a key, such as conv=bcop, optimizer.lr=1e-3, status=failed; may be "
        "repeated: values of one key are alternatives, different keys must all hold",
    )
    made.add_argument(
        "--columns", metavar="KEY,...", help="only these measures, however many; all: every one, however wide"
    )
    made.add_argument("--paper", action="store_true", help="the paper's values under ours, and the difference")
    made.add_argument("--figures", type=_path, metavar="DIR", help="draw figures (PNG) into this folder")
    made.add_argument(
        "--html", type=_path, metavar="FILE", help="write a report there too: one file with tables, figures, runs"
    )
    return made


def run(arguments: argparse.Namespace) -> None:
    """Does what a parsed command line says.

    Raises:
        UserError: a directory, key or value that does not exist.
    """
    runs = filter_runs(find_runs(arguments.directories), arguments.filter)
    groups = group_runs([run for run in runs if not run.problem])
    tables = build_tables(groups, arguments.sort, arguments.reverse, arguments.columns, arguments.paper)
    sources = PAPER_NOTES if arguments.paper and any(table.with_sources for table in tables) else []
    below = [*sources, *notes(groups, runs)]
    if not tables:
        below = ["no run has finished yet.", *below]
    if arguments.format == "terminal" and arguments.output is None and arguments.columns is None:
        text = terminal(tables, below, terminal_width(sys.stdout))
    else:
        text = FORMATS[arguments.format](tables, below)
    if arguments.format == "csv":  # a file of rows alone
        sys.stderr.writelines(f"{note}\n" for note in below)
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        _write("--output", arguments.output, text)
    if arguments.figures is not None and groups:
        from lipnet.results.run_figures import write_figures  # matplotlib takes a second to import

        for path in write_figures(groups, arguments.figures):
            sys.stderr.write(f"{path}\n")
    if arguments.html is not None:
        from lipnet.results.report import page

        text = page(tables, [*sources, *notes_on_groups(groups)], groups, runs, arguments.html.parent)
        _write("--html", arguments.html, text)
        sys.stderr.write(f"{arguments.html}\n")


def _write(option: str, path: Path, text: str) -> None:
    readable = text.encode(errors="backslashreplace").decode()  # names may hold bytes that are not UTF-8
    try:
        write_atomically(path, lambda file: file.writelines([readable]))
    except OSError as error:
        raise UserError(f"{option} {path}: cannot write there ({error.strerror}).") from None


def main(argv: list[str] | None = None) -> None:
    """The console script; a user's mistake ends it with exit code 1."""
    take_everything()
    try:
        run(parser().parse_args(argv))
        sys.stdout.flush()
    except UserError as error:
        sys.stderr.write(f"lipnet-results: {error}\n")
        sys.exit(1)
    except SystemExit as stop:  # argparse leaves with 2; a user's mistake is 1 here
        sys.exit(1 if stop.code else 0)
    except BrokenPipeError:  # piped into head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
