"""The entry in a checkout: ``python train.py KEY=VALUE ...`` (installed: ``lipnet``); ``--help`` lists everything."""

import hydra
from omegaconf import DictConfig

from lipnet.app import launch, run


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def train(config: DictConfig) -> float | None:
    """One run of a composed configuration."""
    return run(config)


if __name__ == "__main__":
    launch(train)
