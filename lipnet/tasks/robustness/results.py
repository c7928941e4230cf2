"""What ``results.json`` holds of a classifier. Imports no torch."""

from lipnet.tasks.results import ByRadius, Certified, Start


class Results(Start, Certified):
    """Fractions are in [0, 1]; ``attacked_accuracy`` is by attack, what is by arithmetic by the network's."""

    status: str
    test_examples: int
    certified_accuracy_per_pair: ByRadius
    rounding_cost: dict[str, ByRadius]
    attacked_accuracy: dict[str, ByRadius]
    attacked_accuracy_worst: ByRadius
    attacked_examples: int
    foolbox_examples: int | None
    attack_seconds: dict[str, float]
    median_attack_distance: dict[str, float]
    mean_certified_radius: float
    mean_certified_radius_per_pair: float
    lipschitz_upper_bound: float
    lipschitz_lower_bound: float
    eval_seconds: float
    seconds: dict[str, float]
    peak_memory_bytes: int | None
