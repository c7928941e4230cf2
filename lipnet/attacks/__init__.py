"""L2 attacks: they bound robust accuracy from above, and try to break certificates."""

from lipnet.attacks.gradient import fgsm, pgd, pgd_paper
from lipnet.attacks.minimal import ddn
from lipnet.attacks.table import ATTACKS, InBall, Nearest, attack_named

__all__ = ["ATTACKS", "InBall", "Nearest", "attack_named", "ddn", "fgsm", "pgd", "pgd_paper"]
