"""Looks like a program of hydra: its arguments are the values of conf/config.yaml, given as key=value."""

import logging

import hydra

log = logging.getLogger(__name__)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    for epoch in range(cfg.trainer.epochs):
        log.info("epoch %d val/acc: %.4f", epoch, 1 - cfg.optimizer.lr)


if __name__ == "__main__":
    main()
