"""Where the configurations are."""

from pathlib import Path


def config_dir() -> Path:
    """The folder of configurations: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "conf"
    return checkout if (checkout / "config.yaml").is_file() else package / "conf"
