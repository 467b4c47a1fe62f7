from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from dlrun.scheduler.constant import Constant
from dlrun.scheduler.cosine import Cosine
from dlrun.scheduler.multi_step import MultiStep
from dlrun.scheduler.one_cycle import OneCycle
from dlrun.scheduler.plateau import Plateau
from dlrun.scheduler.schedule import Schedule
from dlrun.scheduler.step import Step
from dlrun.scheduler.warm_restarts import WarmRestarts

fixed = settings(derandomize=True, deadline=None, max_examples=50)


def of_torch(make: Callable[[torch.optim.Optimizer], LRScheduler], steps: int, every: int = 1) -> list[float]:
    """The learning rates, from 1, that torch's scheduler gives over a run when it is stepped ``every`` steps."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for step in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if (step + 1) % every == 0:
            scheduler.step()
    return rates


def of_dlrun(schedule: Schedule, steps: int, steps_per_epoch: int = 1) -> list[float]:
    return [schedule.factor(step, steps, steps_per_epoch) for step in range(steps)]


def test_constant_is_one_throughout() -> None:
    assert of_dlrun(Constant(), 10) == [1.0] * 10


@pytest.mark.parametrize(("every", "gamma", "steps_per_epoch"), [(5, 0.1, 7), (1, 0.5, 3), (2, 0.9, 1)])
def test_step_matches_torch(every: int, gamma: float, steps_per_epoch: int) -> None:
    expected = of_torch(lambda optimizer: StepLR(optimizer, every, gamma), 120, every=steps_per_epoch)
    assert of_dlrun(Step(every, gamma), 120, steps_per_epoch) == pytest.approx(expected, rel=1e-9, abs=0)


def test_chosen_steps_match_torch_and_rise() -> None:
    expected = of_torch(lambda optimizer: MultiStepLR(optimizer, [2, 3, 7], 0.5), 60, every=6)
    assert of_dlrun(MultiStep([2, 3, 7], 0.5), 60, 6) == pytest.approx(expected, rel=1e-9, abs=0)
    with pytest.raises(ValueError, match=r"^milestones=\[3, 3\]: expected rising numbers of epochs, 1 or more$"):
        MultiStep([3, 3])


@pytest.mark.parametrize(("steps", "final"), [(1, 0.0), (2, 0.0), (97, 0.0), (1000, 0.05)])
def test_cosine_matches_torch(steps: int, final: float) -> None:
    expected = of_torch(lambda optimizer: CosineAnnealingLR(optimizer, T_max=steps, eta_min=final), steps)
    assert of_dlrun(Cosine(final), steps) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("first", "longer", "final"), [(1, 1, 0.0), (3, 2, 0.1), (2, 3, 0.0)])
def test_warm_restarts_match_torch(first: int, longer: int, final: float) -> None:
    def make(optimizer: torch.optim.Optimizer) -> LRScheduler:
        return CosineAnnealingWarmRestarts(optimizer, 5 * first, longer, eta_min=final)

    assert of_dlrun(WarmRestarts(first, longer, final), 150, 5) == pytest.approx(of_torch(make, 150), abs=1e-9)


@fixed
@given(
    values=st.lists(st.floats(-10, 10), min_size=1, max_size=30),
    higher=st.booleans(),
    patience=st.integers(0, 3),
    threshold=st.sampled_from([0.0, 0.1]),
)
def test_plateau_matches_torch(values: list[float], higher: bool, patience: int, threshold: float) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    mode = "max" if higher else "min"
    theirs = ReduceLROnPlateau(optimizer, mode, 0.5, patience, threshold, min_lr=0.1, eps=0)  # type: ignore[arg-type]
    ours = Plateau(gamma=0.5, patience=patience, threshold=threshold, final=0.1)
    for value in values:
        theirs.step(value)
        ours.look(value, higher)
        assert ours.factor(0, 10, 1) == pytest.approx(optimizer.param_groups[0]["lr"])
        again = Plateau(gamma=0.5, patience=patience, threshold=threshold, final=0.1)
        again.load_state_dict(ours.state_dict())
        ours = again  # a run may be cut here, and goes on


@pytest.mark.parametrize("wrong", [{"gamma": 1.0}, {"patience": -1}, {"final": 2.0}])
def test_plateau_refuses_what_reduces_nothing(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Plateau(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("steps", "rise", "start", "final"),
    [
        (1000, 0.3, 0.04, 4e-6),
        (97, 0.25, 0.1, 0.01),
        (97, 0.9, 0.04, 4e-6),
        (7, 0.3, 0.04, 4e-6),
        (2, 0.3, 0.04, 4e-6),
        (5, 0.9, 0.04, 4e-6),  # less than one step to come down in
    ],
)
def test_one_cycle_matches_torch(steps: int, rise: float, start: float, final: float) -> None:
    expected = of_torch(
        lambda optimizer: OneCycleLR(
            optimizer,
            max_lr=1.0,
            total_steps=steps,
            pct_start=rise,
            div_factor=1 / start,
            final_div_factor=start / final,
            cycle_momentum=False,
        ),
        steps,
    )
    assert of_dlrun(OneCycle(rise, start, final), steps) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("warmup", [1, 10])
def test_cosine_after_a_warmup_matches_torchs_sequence(warmup: int) -> None:
    def make(optimizer: torch.optim.Optimizer) -> LRScheduler:
        linear = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
        return SequentialLR(optimizer, [linear, CosineAnnealingLR(optimizer, 100 - warmup)], [warmup])

    assert of_dlrun(Cosine(warmup_steps=warmup), 100) == pytest.approx(of_torch(make, 100), abs=1e-9)


@pytest.mark.parametrize(
    "kind",
    [
        lambda **warmup: Constant(**warmup),
        lambda **warmup: Step(every=2, **warmup),
        lambda **warmup: Cosine(**warmup),
        lambda **warmup: OneCycle(**warmup),
        lambda **warmup: WarmRestarts(2, **warmup),
    ],
    ids=["constant", "step", "cosine", "one_cycle", "warm_restarts"],
)
def test_a_schedule_runs_over_the_steps_that_its_warmup_leaves(kind: Callable[..., Schedule]) -> None:
    after = of_dlrun(kind(warmup_steps=3, warmup_epochs=2), 60, steps_per_epoch=4)[11:]
    assert after == of_dlrun(kind(), 60 - 11, steps_per_epoch=4)


def test_warmup_is_linear_up_to_the_schedules_first_factor() -> None:
    rates = of_dlrun(OneCycle(start=0.5, warmup_steps=3), 50)
    assert rates[:4] == pytest.approx([0.125, 0.25, 0.375, 0.5])


def test_warmup_of_constant_matches_torchs_linear() -> None:
    def make(optimizer: torch.optim.Optimizer) -> LRScheduler:
        linear = LinearLR(optimizer, start_factor=1 / 9, total_iters=8)
        return SequentialLR(optimizer, [linear, ConstantLR(optimizer, factor=1.0)], [8])

    rates = of_dlrun(Constant(warmup_epochs=2), 20, steps_per_epoch=4)
    assert rates == pytest.approx(of_torch(make, 20), abs=1e-9)


@pytest.mark.parametrize("rise", [0.0, 1.0, -0.5])
def test_one_cycle_refuses_a_rise_that_is_no_share(rise: float) -> None:
    with pytest.raises(ValueError, match="rise"):
        OneCycle(rise=rise)


def test_step_refuses_less_than_an_epoch() -> None:
    with pytest.raises(ValueError, match="every=0"):
        Step(every=0)


shares = st.floats(0, 1)
warmups = {"warmup_steps": st.integers(0, 20), "warmup_epochs": st.integers(0, 3)}
schedules = st.one_of(
    st.builds(Constant, **warmups),
    st.builds(Step, every=st.integers(1, 5), gamma=shares, **warmups),
    st.builds(Cosine, final=shares, **warmups),
    st.builds(WarmRestarts, first=st.integers(1, 3), longer=st.integers(1, 3), final=shares, **warmups),
    st.builds(OneCycle, rise=st.floats(0.001, 0.999), start=shares, final=shares, **warmups),
)


@fixed
@given(schedule=schedules, epochs=st.integers(1, 8), steps_per_epoch=st.integers(1, 12))
def test_every_factor_is_between_0_and_1(schedule: Schedule, epochs: int, steps_per_epoch: int) -> None:
    factors = of_dlrun(schedule, epochs * steps_per_epoch, steps_per_epoch)
    assert all(-1e-12 <= factor <= 1 + 1e-12 for factor in factors)


@fixed
@given(steps=st.integers(2, 8), rise=st.floats(0.01, 0.99), final=st.floats(0, 0.04))
def test_one_cycle_ends_at_its_final_share(steps: int, rise: float, final: float) -> None:
    assert OneCycle(rise, final=final).factor(steps - 1, steps, 1) == pytest.approx(final, abs=1e-9)
