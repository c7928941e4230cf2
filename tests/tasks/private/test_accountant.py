import builtins
import math

import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from lipnet.errors import UserError
from lipnet.tasks.private import accountant
from lipnet.tasks.private.accountant import Accountant

dp_accounting = accountant._library()  # which says why it is not imported in any other way

DELTA = 1e-5
# kind, sampling rate, noise, steps
SETTINGS = [
    ("pld", 256 / 57000, 1.0, 2230),
    ("pld", 1024 / 57000, 1.2, 560),
    ("pld", 0.02, 0.7, 100),
    ("pld", 0.3, 4.0, 50),
    ("pld", 1.0, 5.0, 1),
    ("pld", 1.0, 20.0, 30),
    ("rdp", 256 / 57000, 1.0, 2230),
    ("rdp", 0.02, 0.7, 100),
    ("rdp", 0.01, 2.0, 5000),
    ("rdp", 1.0, 5.0, 1),
]


@pytest.mark.parametrize(("kind", "rate", "noise", "steps"), SETTINGS)
def test_it_counts_what_the_library_counts(kind, rate, noise, steps):
    """Its orders that do not converge are left out with a notice each, which only makes its result larger."""
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant

    library = {"pld": PLDAccountant, "rdp": RdpAccountant}[kind]()
    library.compose(dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise)), steps)
    expected = library.get_epsilon(DELTA)
    assert Accountant(kind, rate, DELTA).epsilon(noise, steps) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("noise", "steps"), [(5.0, 1), (20.0, 30), (1.0, 2)])
def test_without_sampling_it_is_the_closed_form(noise, steps):
    """Of the Gaussian mechanism: Balle & Wang 2018 (arXiv 1805.06530), theorem 8; it is never below."""
    scale = noise / math.sqrt(steps)

    def excess(epsilon):
        first = norm.cdf(1 / (2 * scale) - epsilon * scale)
        return first - math.exp(epsilon) * norm.cdf(-1 / (2 * scale) - epsilon * scale) - DELTA

    exact = brentq(excess, 0, 100)
    assert exact <= Accountant("pld", 1.0, DELTA).epsilon(noise, steps) <= 1.01 * exact + 1e-3
    assert Accountant("rdp", 1.0, DELTA).epsilon(noise, steps) >= exact


def test_nothing_is_spent_before_the_first_step():
    assert Accountant("pld", 0.1, DELTA).epsilon(1.0, 0) == 0


@pytest.mark.parametrize("kind", ["pld", "rdp"])
@pytest.mark.parametrize(("target", "rate", "steps"), [(3.0, 0.02, 300), (0.5, 0.05, 40), (8.0, 0.3, 4)])
def test_noise_is_as_small_as_the_target_allows(kind, target, rate, steps):
    found = Accountant(kind, rate, DELTA)
    noise = found.noise_for(target, steps)
    assert found.epsilon(noise, steps) <= target
    assert found.epsilon(0.99 * noise, steps) > target


def test_a_target_that_no_noise_reaches_is_refused():
    with pytest.raises(UserError, match=r"task\.target_epsilon=1e-06: no noise reaches it with task\.delta=1e-05"):
        Accountant("rdp", 1.0, DELTA).noise_for(1e-6, 1000)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    original = builtins.__import__

    def missing(name, *arguments):
        if name.startswith("dp_accounting"):
            raise ImportError(name)
        return original(name, *arguments)

    accountant._epsilon.cache_clear()
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError, match=r"pip install 'lipnet\[private\]'"):
        Accountant("pld", 0.1, DELTA).epsilon(1.0, 3)
