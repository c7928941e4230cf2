"""The entry in a checkout: ``python train.py KEY=VALUE ...`` (installed: ``lipnet``); ``--help`` lists everything."""

import hydra
from omegaconf import DictConfig

from lipnet.app import run
from lipnet.commandline import main_arguments


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def train(config: DictConfig) -> None:
    """One run of a composed configuration."""
    run(config)


if __name__ == "__main__":
    main_arguments()
    train()
