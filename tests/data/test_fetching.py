"""Several starts on a folder without data: one fetches, the others wait. A server here stands for the network."""

import errno
import gzip
import hashlib
import http.server
import logging
import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy
import pytest
import torchvision

from lipnet import locks
from lipnet.data import fetching
from lipnet.data.images import load_files
from lipnet.errors import UserError

DELAY = 0.05  # seconds that the server takes for a file
SETS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}


def idx(shape, content):
    return bytes([0, 0, 8, len(shape)]) + numpy.array(shape, ">u4").tobytes() + content


def contents():
    found = {}
    for part, count in (("train", 20), ("t10k", 6)):
        found[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx((count, 28, 28), bytes(count * 784)))
        found[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx((count,), bytes(i % 10 for i in range(count))))
    return found


@pytest.fixture
def server(monkeypatch):
    """Counts what it is asked for; ``server.broken`` names files whose connection it cuts in the middle.

    It answers nothing before ``server.ready()``.
    """
    files, asked = contents(), Counter()
    found = SimpleNamespace(asked=asked, broken=set(), ready=lambda: True)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rpartition("/")[2]
            time.sleep(DELAY)
            until = time.monotonic() + 60
            while not found.ready() and time.monotonic() < until:
                time.sleep(0.01)
            asked[name] += self.headers.get("Method") != "HEAD"
            self.send_response(200)
            self.send_header("Content-Length", str(len(files[name])))
            self.end_headers()
            self.wfile.write(files[name][: 10 if name in found.broken else None])

        def log_message(self, *_):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    resources = [(name, hashlib.md5(content).hexdigest()) for name, content in files.items()]
    for name in SETS.values():
        source = getattr(torchvision.datasets, name)
        monkeypatch.setattr(source, "mirrors", [f"http://127.0.0.1:{running.server_port}/{name}/"])
        monkeypatch.setattr(source, "resources", resources)
    monkeypatch.setattr(fetching, "_PAUSE", 0.01)
    yield found
    running.shutdown()
    running.server_close()
    thread.join()


def load(name, root, download=True):
    return load_files(SimpleNamespace(name=name, root=str(root), download=download))


def test_one_fetches_and_the_others_wait(server, tmp_path, caplog):
    waiting = re.compile("waiting for (process .*|another process), which")  # held, and its name not yet written
    server.ready = lambda: len(waiting.findall(caplog.text)) == 2
    with caplog.at_level(logging.INFO, "lipnet"), ThreadPoolExecutor(3) as starts:
        found = list(starts.map(lambda _: load("mnist", tmp_path / "new" / "data"), range(3)))
    assert [(len(train), len(test)) for train, test in found] == [(20, 6)] * 3
    assert server.asked == dict.fromkeys(contents(), 1)
    assert len(waiting.findall(caplog.text)) == 2
    assert "which fetches MNIST into" in caplog.text


def test_data_sets_in_one_root_do_not_wait_for_each_other(server, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "lipnet"), ThreadPoolExecutor(2) as starts:
        found = list(starts.map(lambda name: load(name, tmp_path), SETS))
    assert [len(train) for train, _ in found] == [20, 20]
    assert server.asked == dict.fromkeys(contents(), 2)
    assert "waiting" not in caplog.text


def test_data_that_are_there_need_no_lock(server, tmp_path, monkeypatch):
    load("mnist", tmp_path)
    (tmp_path / ".MNIST.lock").unlink()
    monkeypatch.setattr(fetching, "locked", None)
    assert len(load("mnist", tmp_path)[0]) == 20
    assert not (tmp_path / ".MNIST.lock").exists()


def test_a_lock_that_a_killed_process_left_is_no_lock(server, tmp_path):
    (tmp_path / ".MNIST.lock").write_text("process 1 on another machine\n")
    assert len(load("mnist", tmp_path)[0]) == 20


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_said_once(server, tmp_path, monkeypatch, caplog, number):
    def refuse(*_):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    assert len(load("mnist", tmp_path)[0]) == 20
    (said,) = (record.getMessage() for record in caplog.records)
    assert said == f"{tmp_path}: no locks there (no locks here); start one run alone until MNIST is fetched"


def test_a_download_that_was_cut_off_is_fetched_again(server, tmp_path):
    first = next(iter(contents()))
    server.broken = {first}
    with pytest.raises(UserError, match=r"mnist is missing in .* and could not be fetched") as caught:
        load("mnist", tmp_path)
    assert "elete" not in str(caught.value)
    server.broken = set()
    assert len(load("mnist", tmp_path)[0]) == 20


def test_what_one_fails_to_fetch_the_next_one_tries(server, tmp_path):
    server.broken = set(contents())
    with ThreadPoolExecutor(2) as starts:
        tried = [starts.submit(load, "mnist", tmp_path) for _ in range(2)]
    assert all(isinstance(one.exception(), UserError) for one in tried)
    assert all(count >= 2 for count in list(server.asked.values())[:1])
