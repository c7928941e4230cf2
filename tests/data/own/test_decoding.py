import os

import numpy
import pytest
from PIL import Image

from lipnet.data.own import decoding
from lipnet.data.own.decoding import decoded
from lipnet.data.own.listing import pictures_in
from lipnet.errors import UserError


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = numpy.random.default_rng(0)
    for number in range(150):
        Image.fromarray(random.integers(256, size=(4, 6, 3), dtype=numpy.uint8)).save(folder / f"{number:03}.png")
    return folder


def decode(folder, cache, size=(4, 6), resized=False, channels=3):
    return decoded("dataset.root=x", [pictures_in(folder)], size, resized, channels, str(cache), hidden=True)


@pytest.mark.parametrize("threads", [1, 7])
def test_pictures_are_in_their_order_whatever_the_number_of_threads(threads, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "available_cores", lambda: threads)
    found = decode(pictures, tmp_path)
    wanted = [numpy.asarray(Image.open(path)).transpose(2, 0, 1) for path in sorted(pictures.iterdir())]
    assert numpy.array_equal(found, numpy.stack(wanted))
    assert isinstance(found, numpy.memmap)  # what is not read is not in memory


def test_a_second_start_decodes_nothing_unless_a_picture_has_changed(pictures, tmp_path, monkeypatch):
    first, calls = decode(pictures, tmp_path), []
    decode_all = decoding._decode
    monkeypatch.setattr(decoding, "_decode", lambda *given: (calls.append(1), decode_all(*given)))
    assert numpy.array_equal(decode(pictures, tmp_path), first)
    assert calls == []
    os.utime(pictures / "003.png", (1, 1))
    decode(pictures, tmp_path)
    decode(pictures, tmp_path, channels=1)
    assert calls == [1, 1]


def test_a_cache_that_is_cut_off_is_written_anew(pictures, tmp_path):
    first = numpy.array(decode(pictures, tmp_path))
    (file,) = (tmp_path / "decoded").glob("*.npy")
    file.write_bytes(file.read_bytes()[:500])
    assert numpy.array_equal(decode(pictures, tmp_path), first)


def test_where_nothing_can_be_kept_pictures_are_decoded_all_the_same(pictures, tmp_path, caplog):
    (tmp_path / "file").touch()
    assert numpy.array_equal(decode(pictures, tmp_path / "file"), decode(pictures, tmp_path))
    assert "decoded anew at each start" in caplog.text


def test_what_is_written_to_the_pixels_stays_out_of_the_file(pictures, tmp_path):
    found = decode(pictures, tmp_path)
    before = int(found[0, 0, 0, 0])
    found[0] = 255 - before
    assert decode(pictures, tmp_path)[0, 0, 0, 0] == before


def test_pictures_are_scaled_until_they_cover_the_size_and_cut_around_the_centre(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    wide = numpy.zeros((8, 24), dtype=numpy.uint8)
    wide[:, 8:16] = 200
    Image.fromarray(wide).save(folder / "wide.png")
    Image.fromarray(wide.T).convert("RGB").save(folder / "high.png")
    found = decode(folder, tmp_path, (4, 4), resized=True, channels=1)
    assert numpy.abs(found.astype(int) - 200)[:, :, 1:3, 1:3].max() <= 1


def test_every_picture_that_cannot_be_used_is_named_in_one_message(pictures, tmp_path):
    (pictures / "000.png").write_bytes(b"no picture")
    whole = (pictures / "001.png").read_bytes()
    (pictures / "002.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (5, 5)).save(pictures / "003.png")
    Image.new("I;16", (6, 4)).save(pictures / "004.png")
    with pytest.raises(UserError) as refused:
        decode(pictures, tmp_path)
    (message,) = refused.value.problems
    assert message.startswith("dataset.root=x: 4 of 150 pictures cannot be used: pictures/000.png (cannot identify")
    assert "pictures/003.png (5x5, and the first picture is 6x4: dataset.image_size=N makes all NxN)" in message
    assert "its mode is I;16" in message
    assert list((tmp_path / "decoded").glob("*.np*")) == list((tmp_path / "decoded").glob("*.part")) == []
