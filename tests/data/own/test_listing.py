"""Listing takes names alone: what a million of them need is seen on small files."""

import tracemalloc

import pytest

from lipnet.data.own.listing import pictures_in, some


def test_pictures_are_listed_by_name_with_those_in_folders_below(tmp_path):
    for name in ("b.PNG", "a.jpg", "below/c.webp", ".hidden.png", ".git/d.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12")
    found = pictures_in(tmp_path)
    assert list(found.names()) == ["a.jpg", "b.PNG", "below/c.webp"]
    assert (found.count, found.others, found.number_of_others) == (3, ("notes.txt",), 1)


def test_content_tells_names_and_sizes_and_state_the_times_too(tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(b"12")
    first = pictures_in(tmp_path)
    import os

    os.utime(file, (1, 1))
    later = pictures_in(tmp_path)
    assert (later.content, later.state == first.state) == (first.content, False)
    file.write_bytes(b"123")
    assert pictures_in(tmp_path).content != first.content


def test_names_are_kept_in_little_memory(tmp_path):
    """Of 5,000 names: less than 40 bytes each, so that a million are less than 40 MB."""
    for number in range(5000):
        (tmp_path / f"picture-{number:07}.png").touch()
    tracemalloc.start()
    found = pictures_in(tmp_path)
    kept, _ = tracemalloc.get_traced_memory()
    assert sum(1 for _ in found.names()) == 5000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 40 * 5000
    assert peak < 400 * 5000  # while they are sorted


@pytest.mark.parametrize(("count", "shown"), [(2, "a0, a1"), (10, "a0, a1, a2, a3, a4, a5, a6, a7, a8, a9"),
                                              (12, "a0, a1, a2, a3, a4, a5, a6, a7, a8, a9 and 2 more")])  # fmt: skip
def test_some_of_many_names_are_shown(count, shown):
    assert some([f"a{number}" for number in range(count)]) == shown
