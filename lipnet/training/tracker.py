"""Everything a run writes while it goes on: TensorBoard events and ``metrics.csv``."""

import dataclasses
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import numpy
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from lipnet.display.canvas import picture
from lipnet.options.config import Config
from lipnet.runs.files import read_csv, write_csv
from lipnet.runs.identity import NO_RESULT_KEYS
from lipnet.training import distributed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger("lipnet")

# Keys that change no result.
_NO_HYPERPARAMETERS = ("run", *NO_RESULT_KEYS)
_NONE: Mapping[str, Tensor] = MappingProxyType({})


class Tracker:
    """One TensorBoard run and one table for a run directory; steps are epochs, so that all curves share an axis.

    ``fresh`` says that nothing was written here before.

    Args:
        finished: epochs behind the checkpoint that the run starts from; what an earlier, killed attempt wrote after
            them is dropped.
    """

    def __init__(self, directory: Path, finished: int = 0) -> None:
        self._table = directory / "metrics.csv"
        self.fresh = not any(directory.glob("events.out.tfevents.*"))
        self.writer = _writer(directory, purge_step=None if self.fresh else finished + 1)
        self._rows: list[dict[str, Any]] = [row for row in readable_rows(self._table) if int(row["epoch"]) <= finished]
        if self._table.exists():
            self._table.unlink() if not self._rows else write_csv(self._table, self._rows)

    def hyperparameters(self, config: Config, metrics: list[str], typed: Collection[str] = ()) -> None:
        """Fills the HPARAMS page of this very run.

        Args:
            metrics: tags of scalars that will follow.
            typed: keys that the command line set; the page shows the first few columns, and these come first.
        """
        values = {
            key.removesuffix(".name"): value
            for key, value in flatten(dataclasses.asdict(config)).items()
            if key not in _NO_HYPERPARAMETERS
        }
        experiment, *session = hparams(values, dict.fromkeys(metrics, 0))
        _mark(experiment, typed)
        for summary in (experiment, *session):
            self.writer._get_file_writer().add_summary(summary)
        self.writer.flush()

    def layout(self, charts: dict[str, dict[str, list[Any]]]) -> None:
        """Fills the CUSTOM SCALARS page; ``charts``: section -> title -> ``["Multiline", tags]`` (or ``"Margin"``)."""
        self.writer.add_custom_scalars(charts)

    def epoch(self, epoch: int, metrics: dict[str, float], images: Mapping[str, Tensor] = _NONE) -> None:
        """One row of the table and one point of each curve; ``group/name`` becomes the column ``group_name``.

        Args:
            images: tag -> a sheet's, for the IMAGES page.
        """
        self._rows.append({"epoch": epoch, **{tag.replace("/", "_"): value for tag, value in metrics.items()}})
        write_csv(self._table, self._rows)
        for tag, value in metrics.items():
            self.writer.add_scalar(tag, value, epoch)
        for tag, sheet in images.items():
            self.writer.add_images(tag, sheet, epoch)
        self.writer.flush()

    def text(self, tag: str, content: str, epoch: int) -> None:
        """A monospaced block on the TEXT page."""
        self.writer.add_text(tag, "\n".join(f"    {line}" for line in content.splitlines()), epoch)
        self.writer.flush()

    def figure(self, tag: str, figure: "Figure", epoch: int) -> None:
        """A picture; ``add_figure`` of the writer would look for a display."""
        self.writer.add_image(tag, picture(figure), epoch)

    def singular_values(self, layer: str, values: Tensor, epoch: int) -> None:
        """A histogram of them."""
        self._histogram(f"singular_values/{layer}", values, epoch)

    def gradient_norms(self, name: str, values: Tensor, epoch: int) -> None:
        """A histogram of those of single examples."""
        self._histogram(f"per_example/{name}", values, epoch)

    def _histogram(self, tag: str, values: Tensor, epoch: int) -> None:
        """With bins of 0.01 from 0: TensorBoard's own widen by a tenth each, too coarse around 1."""
        top = max(1.1, 1.01 * float(values.max()))
        bins = numpy.linspace(0, top, min(500, round(100 * top)) + 1)
        self.writer.add_histogram(tag, values, epoch, bins=bins)

    def close(self) -> None:
        self.writer.close()


def readable_rows(table: Path) -> list[dict[str, str]]:
    """The rows that have an epoch; a damaged table's are lost, and the run is not."""
    try:
        rows = read_csv(table)
    except (OSError, ValueError) as error:
        log.warning("%s: cannot be read (%s); it begins anew", table, error)
        return []
    whole = [row for row in rows if (row.get("epoch") or "").isdecimal() and None not in (*row, *row.values())]
    if len(whole) < len(rows):
        log.warning("%s: %d damaged rows are left out", table, len(rows) - len(whole))
    return whole


def _mark(experiment: Any, typed: Collection[str]) -> None:
    """Says of hyperparameters that they differ between runs, by which TensorBoard sorts its columns."""
    data = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(data.content)
    for info in content.experiment.hparam_infos:
        info.differs = info.name in typed
    data.content = content.SerializeToString()


class _Silent:
    """Stands for a tracker or a writer that cannot write, or need not: takes everything, keeps nothing."""

    fresh = False

    def __getattr__(self, name: str) -> "_Silent":
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> "_Silent":
        return self


def _writer(directory: Path, purge_step: int | None) -> SummaryWriter:
    try:
        return SummaryWriter(str(directory), purge_step=purge_step)
    except UnicodeEncodeError:
        log.warning("%s: not UTF-8, which TensorBoard's file names must be; its curves are left out", directory)
        return cast(SummaryWriter, _Silent())


def open_tracker(directory: Path, finished: int = 0) -> Tracker:
    """The tracker of this process: only the first of those that share a run writes."""
    return Tracker(directory, finished) if distributed.is_main() else cast(Tracker, _Silent())


def flatten(node: Any, prefix: str = "") -> dict[str, bool | int | float | str]:
    """Nested keys joined by dots, values as TensorBoard's hparams take them."""
    if isinstance(node, dict):
        parts = (flatten(value, f"{prefix}{key}.") for key, value in node.items())
        return {key: value for part in parts for key, value in part.items()}
    return {prefix.rstrip("."): node if isinstance(node, (bool, int, float, str)) else str(node)}
