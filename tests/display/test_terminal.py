import io

import pytest

from lipnet.display.terminal import take_everything

TEXTS = [  # text, encoding, what arrives
    ("0.97 ± 0.01 ≤ √2 × 1 – 2", "ascii", b"0.97 +- 0.01 <= sqrt2 x 1 - 2"),
    ("ü ±", "latin-1", b"\xfc \xb1"),
    ("ü≥π", "ascii", b"\\xfc>=\\u03c0"),
    ("name \udcff", "utf-8", b"name \\udcff"),
]


@pytest.mark.parametrize(("text", "encoding", "expected"), TEXTS)
def test_a_stream_takes_what_its_encoding_lacks(text, encoding, expected):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    take_everything(stream, io.StringIO())  # the second one cannot be set, and needs not
    stream.write(text)
    stream.flush()
    assert raw.getvalue() == expected
