import io
import logging
import re

import pytest

from lipnet.display.fitting import Column, Fitting, fitting_table, log_fitting, terminal_width, wrapped

COLUMNS = [
    Column("data set", ["mnist", "cifar10"], text=True),
    Column("key", ["a very long value of a key", "b"], text=True),
    Column("n", ["3", "10"]),
    Column("certified_float64@0.3", ["97.06 ± 0.07", "5.00"]),
    Column("certified_float32@0.3", ["97.05", "4.00"]),
    *(Column(f"pgd@{radius}", ["98.00", "7.00"]) for radius in ("0.1", "0.2", "0.3", "0.4")),
]
ORDER = [0, 2, 3, 1, 4, 5, 6, 7, 8]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def names_in(lines):
    """The columns that the lines below a table name."""
    text = " ".join(" ".join(lines).split())
    found = re.fullmatch(r"no room in \d+ characters for (.*); see below\.", text)
    assert bool(found) == bool(lines)
    return found[1].split(", ") if found else []


@pytest.mark.parametrize("width", [10, 20, 33, 40, 60, 80, 100, 117, 118, 200])
def test_what_is_shown_fits_and_what_is_not_is_named(width):
    titles, rows, named = fitting_table(COLUMNS, width, "see below.", ORDER)
    hidden = names_in(named)
    assert all(len(line) <= width for line in [*titles, *rows])
    shown = [column for column in COLUMNS if column.title not in hidden]
    assert len(shown) + len(hidden) == len(COLUMNS)
    for number, row in enumerate(rows):
        assert re.split("  +", row.strip()) == [column.cells[number] for column in shown]
    # Of the numbers, those that matter most.
    important = [COLUMNS[place] for place in ORDER if not COLUMNS[place].text]
    assert [column in shown for column in important] == sorted((column in shown for column in important), reverse=True)


def test_more_room_shows_more():
    shown = []
    for width in range(10, 130):
        _, (row, _), named = fitting_table(COLUMNS, width, "", ORDER)
        shown.append(len(row.split()))
        assert bool(named) == (shown[-1] < len(fitting_table(COLUMNS, None, "")[1][0].split()))
    assert shown[0] < shown[40] < shown[-1]
    assert not fitting_table(COLUMNS, 200, "")[2]


@pytest.mark.parametrize("width", [None, 200])
def test_with_room_titles_have_one_line(width):
    titles, rows, named = fitting_table(COLUMNS, width, "")
    assert [title.split() for title in titles] == [" ".join(column.title for column in COLUMNS).split()]
    assert (len(rows), named) == (2, [])


def test_a_text_without_room_is_passed_over():
    titles, _, named = fitting_table(COLUMNS[:3], 15, "see below.")
    assert " ".join(titles).split() == ["data", "set", "n"]
    assert names_in(named) == ["key"]


@pytest.mark.parametrize(
    ("title", "narrow"),
    [
        ("certified_float64@36/255", "certified_\nfloat64@36/255"), ("certified@36/255", "certified\n@36/255"),
        ("per pair >= (float64)", "per pair >=\n(float64)"), ("mean_radius", "mean_\nradius"), ("clean", "clean"),
        ("n_1", "n_1"),  # the cells are no narrower
    ],
)  # fmt: skip
def test_titles_in_two_lines(title, narrow):
    assert Column(title, ["0.12"]).narrow.title == narrow


def test_the_terminals_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "57")
    assert terminal_width(Terminal()) == 57
    assert terminal_width(io.StringIO()) is None


def test_wrapped_lines_fit_and_keep_names_whole():
    text = "words and certified_float64@36/255, certified_float32@36/255 and more words"
    lines = wrapped(text, 40, "  start  ", "         ")
    assert all(len(line) <= 40 for line in lines)
    assert lines[0].startswith("  start  words")
    assert " ".join(" ".join(lines).split()) == f"start {text}"
    assert wrapped(text, None, "start ") == [f"start {text}"]


@pytest.fixture
def handlers():
    """A terminal's and a file's handler of the root logger, as a run has them."""
    both = [logging.StreamHandler(Terminal()), logging.StreamHandler(io.StringIO())]
    for handler in both:
        handler.setFormatter(logging.Formatter("%(levelname)s - %(message)s"))
        logging.getLogger().addHandler(handler)
    yield both
    for handler in both:
        logging.getLogger().removeHandler(handler)


def test_terminals_get_what_fits_and_files_everything(handlers, monkeypatch):
    monkeypatch.setenv("COLUMNS", "57")
    log = logging.getLogger("fitting")
    log.setLevel(logging.INFO)
    log_fitting(log, "epoch %d\n%s", 3, Fitting(lambda width: f"table in {width}"))
    log.info("and %s", Fitting(lambda width: str(width)))  # only there: nothing is left behind
    terminal, file = (handler.stream.getvalue() for handler in handlers)
    assert terminal == "INFO - epoch 3\ntable in 57\nINFO - and None\n"
    assert file == "INFO - epoch 3\ntable in None\nINFO - and None\n"
