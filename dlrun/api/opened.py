"""The trained model of a run, without a run of its own."""

from __future__ import annotations

from pathlib import Path

from dlrun import cli
from dlrun.config import compose, trust
from dlrun.config.saved import quoted
from dlrun.trained import Trained, load


def opened(run: Path) -> Trained:
    """Open the model of a run as the verbs do, but for its data; nothing is written.

    Raises:
        UserError: the run has no checkpoint, or names code that is not trusted.
    """
    words = [f"run={quoted(str(run))}"]
    config, called = cli.understood(lambda: compose.compose("predict", words), None)
    trust.check_objects(config, config.run, config.trust, called.reopened)
    return load(config, called, with_data=False)
