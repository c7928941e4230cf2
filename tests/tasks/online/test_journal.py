import pytest

from lipnet.errors import UserError
from lipnet.tasks.online.journal import Journal, exact, number, rows

COLUMNS = ["round", "outcome", "loss"]


def written(path, count, position=0):
    journal = Journal(path, COLUMNS, position)
    for place in range(count):
        journal.write([place, exact(place / 3), 1 / 3 if place % 2 else None])
    end = journal.position
    journal.close()
    return end


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "stream.csv"
    assert written(path, 4) == path.stat().st_size
    found = list(rows(path))
    assert [float(row["outcome"]) for row in found] == [place / 3 for place in range(4)]
    assert [row["loss"] for row in found] == ["", "0.333333333", "", "0.333333333"]
    assert number(found[1]["loss"]) == pytest.approx(1 / 3)
    assert number("") != number("")  # NaN


def test_it_goes_on_where_the_checkpoint_was(tmp_path):
    path = tmp_path / "stream.csv"
    position = written(path, 2)
    with open(path, "a") as file:
        file.write("2,0.5,\n3,0.")  # killed within a row
    assert [row["round"] for row in rows(path, position)] == ["2"]
    written(path, 1, position)
    assert [row["round"] for row in rows(path)] == ["0", "1", "0"]


def test_rows_that_are_written_once_more_stay_until_one_differs(tmp_path):
    path = tmp_path / "stream.csv"
    position = written(path, 2)
    journal = Journal(path, COLUMNS, position)
    for row in (["a", "1", "2"], ["b", "3", "4"], ["c", "5", "6"]):
        journal.write(row)
    journal.close()
    whole = path.read_text()
    again = Journal(path, COLUMNS, position, replayed=True)
    assert path.read_text() == whole
    again.write(["a", "1", "2"])
    assert (path.read_text(), again.position) == (whole, position + len("a,1,2\n"))
    again.write(["b", "3", "5"])
    assert [row["loss"] for row in rows(path, position)] == ["2", "5"]
    assert again.position == path.stat().st_size
    again.close()
    assert [row["round"] for row in rows(path, end=position)] == ["0", "1"]


def test_a_shorter_file_is_none_of_the_checkpoint_s(tmp_path):
    path = tmp_path / "stream.csv"
    position = written(path, 3)
    path.write_text("round,outcome,loss\n")
    with pytest.raises(UserError, match="19 bytes, and the checkpoint was written after"):
        Journal(path, COLUMNS, position)


def test_without_a_file_there_are_no_rows(tmp_path):
    assert list(rows(tmp_path / "stream.csv")) == []
