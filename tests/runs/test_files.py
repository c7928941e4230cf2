import errno
import json
import math

import pytest

from lipnet.runs.files import read_csv, remove_parts, write_atomically, write_csv, write_json, write_text


def _fails_half_way(file):
    file.write("half")
    raise RuntimeError("disk on fire")


def test_a_file_is_written_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "text.txt"
    write_atomically(path, lambda file: file.write("new"))
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_bytes_are_written(tmp_path):
    write_atomically(tmp_path / "file", lambda file: file.write(b"\r\n\x00"), "wb")
    assert (tmp_path / "file").read_bytes() == b"\r\n\x00"


def test_a_failing_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="on fire"):
        write_atomically(path, _fails_half_way)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failing_writer_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(RuntimeError, match="on fire"):
        write_atomically(tmp_path / "text.txt", _fails_half_way)
    assert list(tmp_path.iterdir()) == []


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("old")
    seen = []

    def write(file):
        file.write("new")
        file.flush()
        seen.append(path.read_text())

    write_atomically(path, write)
    assert seen == ["old"]
    assert path.read_text() == "new"


def test_the_old_file_can_be_kept(tmp_path):
    path, previous = tmp_path / "text.txt", tmp_path / "previous.txt"
    seen = []
    for text in ("first", "second", "third"):
        write_atomically(path, lambda file, text=text: file.write(text), previous=previous)
        seen.append((path.read_text(), previous.read_text() if previous.exists() else None))
    assert seen == [("first", None), ("second", "first"), ("third", "second")]


def test_a_failing_writer_leaves_both_files(tmp_path):
    path, previous = tmp_path / "text.txt", tmp_path / "previous.txt"
    path.write_text("old")
    previous.write_text("older")
    with pytest.raises(RuntimeError, match="on fire"):
        write_atomically(path, _fails_half_way, previous=previous)
    assert (path.read_text(), previous.read_text()) == ("old", "older")


def test_a_full_disk_names_the_file(tmp_path):
    def write(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "text.txt"
    with pytest.raises(OSError, match="No space left") as error:
        write_atomically(path, write)
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(path))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_removed(tmp_path):
    kept = [tmp_path / "last.pt", tmp_path / ".hidden", tmp_path / "a.part"]
    for path in (*kept, tmp_path / ".last.pt.12.part", tmp_path / "folder" / ".best.pt.345.part"):
        path.parent.mkdir(exist_ok=True)
        write_text(path, "content")
    remove_parts(tmp_path)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(kept)


@pytest.mark.parametrize("value", [math.nan, math.inf, object()], ids=["NaN", "infinity", "object"])
def test_json_that_no_reader_takes_is_refused(tmp_path, value):
    path = tmp_path / "results.json"
    write_json(path, {"key": 1})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, {"key": value})
    assert json.loads(path.read_text()) == {"key": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_csv_keeps_order_and_digits(tmp_path):
    rows = [{"b": 0.1 + 0.2, "a": 'x,"y"\nz'}, {"b": 5e-324, "a": "é"}]
    write_csv(tmp_path / "table.csv", rows)
    back = read_csv(tmp_path / "table.csv")
    assert [list(row) for row in back] == [["b", "a"]] * 2
    assert [float(row["b"]) for row in back] == [0.30000000000000004, 5e-324]
    assert [row["a"] for row in back] == ['x,"y"\nz', "é"]


def test_csv_refuses_rows_of_other_columns(tmp_path):
    with pytest.raises(ValueError, match="not in fieldnames"):
        write_csv(tmp_path / "table.csv", [{"a": 1}, {"b": 2}])
    assert list(tmp_path.iterdir()) == []


def test_a_table_without_rows_is_no_file(tmp_path):
    write_csv(tmp_path / "table.csv", [])
    assert list(tmp_path.iterdir()) == []
    assert read_csv(tmp_path / "table.csv") == []
