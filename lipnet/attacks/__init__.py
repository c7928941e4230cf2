"""L2 attacks: they bound robust accuracy from above, and try to break certificates."""

from lipnet.attacks.gradient import fgsm, pgd

__all__ = ["fgsm", "pgd"]
