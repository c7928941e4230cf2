import numpy
import pytest

from lipnet.tasks.online.journal import Journal
from lipnet.tasks.online.summary import summarize_stream


def summary(path, rounds, warmup=3):
    journal = Journal(path, ["round", "outcome", "loss", "optimal_loss"])
    for place in range(1 - warmup, rounds + 1):
        journal.write([place, float(place), None if place < 1 else float(place**2), None])
    journal.close()
    return summarize_stream(path, rounds)


@pytest.mark.parametrize("rounds", [1, 7, 400, 401, 1003])
def test_means_are_of_the_rounds(tmp_path, rounds):
    found = summary(tmp_path / "stream.csv", rounds)
    losses = numpy.arange(1, rounds + 1) ** 2.0
    assert found.ends[-1] == rounds
    assert len(found.ends) == min(rounds, 400)
    starts = numpy.concatenate(([0], found.ends[:-1]))
    expected = [losses[start:end].mean() for start, end in zip(starts, found.ends, strict=True)]
    numpy.testing.assert_allclose(found.means["loss"], expected, rtol=1e-6)
    assert found.last_half["loss"] == pytest.approx(losses[rounds // 2 :].mean(), rel=1e-6)
    assert numpy.isnan(found.means["optimal_loss"]).all()
    assert found.window["outcome"].tolist() == list(range(max(1, rounds - 199), rounds + 1))
