"""Upper and lower bounds on L2 Lipschitz constants, and certified radii."""

from lipnet.certify import rules as _rules  # noqa: F401  registers them
from lipnet.certify.assured import Assured, assured
from lipnet.certify.bound import lipschitz_bound, register_rule
from lipnet.certify.certificate import Certificate, certify
from lipnet.certify.conformal import conformal_sets, conformal_threshold
from lipnet.certify.jacobian import jacobian_lower_bound
from lipnet.certify.pairwise import pairwise_lipschitz_bounds
from lipnet.certify.plain import hardened, to_plain
from lipnet.certify.radius import certified_radii, margins, pairwise_certified_radii
from lipnet.certify.rounding import Rounding, rounding_bound
from lipnet.certify.spectrum import singular_values

__all__ = [
    "Assured",
    "Certificate",
    "Rounding",
    "assured",
    "certified_radii",
    "certify",
    "conformal_sets",
    "conformal_threshold",
    "hardened",
    "jacobian_lower_bound",
    "lipschitz_bound",
    "margins",
    "pairwise_certified_radii",
    "pairwise_lipschitz_bounds",
    "register_rule",
    "rounding_bound",
    "singular_values",
    "to_plain",
]
