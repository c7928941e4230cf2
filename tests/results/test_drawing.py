import logging

import pytest

from lipnet.results.drawing import band, colours, finite, mean, new_figure, new_panels, of_table


def test_a_band_is_the_mean_from_least_to_greatest():
    _, axes = new_figure()
    band(axes, [0, 1], [[1.0, 2.0], [3.0, 8.0]], "C0", "label")
    (line,) = axes.get_lines()
    assert line.get_ydata().tolist() == [2.0, 5.0]
    (filled,) = axes.collections
    corners = {tuple(corner) for corner in filled.get_paths()[0].vertices.tolist()}
    assert corners == {(0.0, 1.0), (0.0, 3.0), (1.0, 2.0), (1.0, 8.0)}


def test_one_curve_has_no_band_and_none_no_line():
    _, axes = new_figure()
    band(axes, [0, 1], [[1.0, 2.0]], "C0", "label")
    band(axes, [0, 1], [], "C0", "none")
    assert (len(axes.get_lines()), len(axes.collections)) == (1, 0)


def test_panels_stand_side_by_side():
    figure, panels = new_panels(3, "title")
    assert figure.axes == panels
    assert len(panels) == 3


def test_colours_repeat_after_ten():
    assert colours([("", None)] * 12)[8:] == ["C8", "C9", "C0", "C1"]


def test_numbers():
    assert mean([1.0, 2.0, 6.0]) == 3.0
    assert finite("0.5") == 0.5
    for text in ("nan", "inf", "", "x"):
        with pytest.raises(ValueError, match=r"no finite number|could not convert"):
            finite(text)


@pytest.mark.parametrize("content", ["a\nx\n", "b\n1\n"], ids=["no number", "no such column"])
def test_a_damaged_table_is_left_out_and_said(tmp_path, caplog, content):
    path = tmp_path / "table.csv"
    path.write_text(content)
    with caplog.at_level(logging.WARNING):
        found = of_table(path, lambda rows: [finite(row["a"]) for row in rows], [7.0])
    assert found == [7.0]
    assert f"{path}: cannot be read (" in caplog.text


def test_a_table_is_read_and_a_missing_one_has_no_rows(tmp_path, caplog):
    (tmp_path / "table.csv").write_text("a\n1\n2\n")
    for name, expected in (("table.csv", [1.0, 2.0]), ("missing.csv", [])):
        assert of_table(tmp_path / name, lambda rows: [finite(row["a"]) for row in rows], [7.0]) == expected
    assert caplog.text == ""
