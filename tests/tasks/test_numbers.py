from typing import TypedDict

from lipnet.tasks.numbers import Numbers, at_radii, numbers_of


class Side(TypedDict):
    mean: float
    name: str


class Before(TypedDict):
    seed: int


class Found(Before):
    flag: bool
    accuracy: float
    examples: int | None
    by_radius: dict[str, float]
    by_attack: dict[str, dict[str, float]]
    versions: dict[str, str]
    side: Side
    sides: dict[str, Side]


TABLES = {"by_radius": [("0.3",)], "by_attack": [("pgd", "ddn"), ("0.3",)], "sides": [("first",)]}


def test_numbers_are_read_off_a_record():
    found = numbers_of(Found, TABLES, ("examples", "by_attack"), without=Before)
    assert found == Numbers(
        ["accuracy", "by_radius.0.3", "side.mean", "sides.first.mean"],
        ["examples", "by_attack.pgd.0.3", "by_attack.ddn.0.3"],
    )
    assert "seed" in numbers_of(Found, TABLES).measures


def test_names_at_radii():
    assert at_radii(["0.1", "36/255"], "a", "b") == ["a.0.1", "a.36/255", "b.0.1", "b.36/255"]
