import random

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from lipnet.cli.paths import as_meant, path_of, path_override

HOME = "/home/someone"
# argument -> what Hydra is to see; the working directory holds the names in THERE, and a link to one of them
MEANT = {
    "dataset.root=~/data": f"dataset.root={HOME}/data",
    "dataset.root='~/data'": f"dataset.root={HOME}/data",
    "dataset.root=~": f"dataset.root={HOME}",
    "dataset.root=~/a,~/b": f"dataset.root={HOME}/a,{HOME}/b",
    "hydra.run.dir=~/x y": f"hydra.run.dir={HOME}/x y",
    "+hydra.sweep.dir=~/s": f"+hydra.sweep.dir={HOME}/s",
    "run=~nobody-here/x": "run='~nobody-here/x'",
    "resume=a,b": "resume='a,b'",
    "resume=1_000": "resume='1_000'",
    "resume=7": "resume=7",
    "resume=null": "resume=null",
    "resume=link": "resume='plain'",
    "run='link'": "run='plain'",
    "dataset.root=link": "dataset.root=link",
    "hydra.run.dir=/new/é#1": "hydra.run.dir='/new/é#1'",
    "hydra.run.dir=${now:%Y}/x": "hydra.run.dir=${now:%Y}/x",
    "dataset.root=a,c": "dataset.root=a,c",
    "resume=": "resume=",
    "seed=~": "seed=~",
    "-m": "-m",
}
THERE = ("a,b", "1_000", "7", "null", "plain")


@pytest.mark.parametrize("argument", MEANT)
def test_a_path_is_read_as_it_is_meant(tmp_path, monkeypatch, argument):
    for name in THERE:
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("plain")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", HOME)
    assert as_meant(argument) == MEANT[argument]
    assert as_meant(as_meant(argument)) == MEANT[argument]


def test_hydra_reads_back_whatever_is_in_a_path():
    draw, parser = random.Random(0), OverridesParser.create()
    for _ in range(3000):
        path = "".join(draw.choices("a b/\\'\"${}, =~[]()#\n:é.-+@", k=draw.randrange(1, 9)))
        assert path_of(parser.parse_override(path_override("run", path))) == path
