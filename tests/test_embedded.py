"""The experiments that need no data from outside: each is run, and what it claims holds."""

from __future__ import annotations

import pytest

from dlrun.command.reproduce import is_embedded
from dlrun.experiment import header as experiment
from tests.conftest import Dlrun


@pytest.mark.slow
@pytest.mark.parametrize("name", experiment.names())
def test_an_embedded_experiment_meets_its_claims(dlrun: Dlrun, name: str) -> None:
    found = experiment.read(name)
    if not is_embedded(found):
        pytest.skip("needs data from outside: dlrun reproduce runs it")
    ended = dlrun(found.verb, f"experiment={name}")
    assert ended.status == 0, ended.out + ended.err
    assert "NOT MET" not in ended.out
