"""Deletion, insertion and pointing against plain loops and in closed form; the sanity check's parts."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from dlrun.explanation.faithfulness import deletion_and_insertion, points_inside, share_inside
from dlrun.explanation.maps import Faithfulness, verdict
from dlrun.explanation.sanity import cascade, rank_correlation
from tests.explainer.test_cam import images, lenet, seeded


def test_deletion_and_insertion_equal_a_plain_loop() -> None:
    model, batch, classes = seeded(lenet), images(2, 1, 28, 28), torch.tensor([[1, 7], [3, 0]])
    maps = torch.rand(2, 2, 28, 28, generator=torch.Generator().manual_seed(3))
    deletion, insertion = deletion_and_insertion(model, batch, classes, maps, steps=4)
    for number in range(2):
        for column in range(2):
            order = maps[number, column].flatten().argsort(descending=True)
            areas = []
            for deletes in (True, False):
                heights = []
                for step in range(5):
                    first = order[: 784 * step // 4]
                    whole, even = batch[number].flatten(), batch[number].mean().expand(784)
                    mixed = (whole if deletes else even).clone()
                    mixed[first] = (even if deletes else whole)[first]
                    scores = model(mixed.view(1, 1, 28, 28)).detach().softmax(dim=1)[0]
                    heights.append(float(scores[classes[number, column]]))
                areas.append(sum((a + b) / 8 for a, b in pairwise(heights)))
            assert float(deletion[number, column]) == pytest.approx(areas[0], abs=1e-5)
            assert float(insertion[number, column]) == pytest.approx(areas[1], abs=1e-5)


def test_the_map_of_what_counts_beats_its_opposite() -> None:
    class Corner(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            bright = 20 * (images[:, :, :4, :4].mean(dim=(1, 2, 3)) - 0.5)
            return torch.stack([bright, -bright], dim=1)

    batch = torch.zeros(1, 1, 16, 16)
    batch[..., :4, :4] = 1
    good = deletion_and_insertion(Corner(), batch, torch.tensor([[0]]), batch, 16)
    bad = deletion_and_insertion(Corner(), batch, torch.tensor([[0]]), 1 - batch, 16)
    assert float(good[0]) < 0.1
    assert float(good[1]) > 0.9
    assert float(bad[0]) > 0.9
    assert float(bad[1]) < 0.1


def test_energy_and_highest_place_in_a_region() -> None:
    maps = torch.tensor([[[[3.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    regions = torch.tensor([[[[True, False], [True, False]], [[False, True], [False, True]]]])
    assert share_inside(maps, regions).tolist() == [[0.75, 0.0]]
    assert points_inside(maps, regions)[0, 0]
    assert not points_inside(maps, ~regions)[0, 0]


def test_rank_correlation_in_closed_form() -> None:
    maps = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 2, 2)
    assert rank_correlation(maps, maps**3).tolist() == [[pytest.approx(1)]]
    assert rank_correlation(maps, -maps).tolist() == [[pytest.approx(-1)]]
    other = torch.tensor([1.0, 2.0, 4.0, 3.0]).view(1, 1, 2, 2)
    assert rank_correlation(maps, other).tolist() == [[pytest.approx(1 - 6 * 2 / (4 * 15))]]
    nothing = torch.zeros(1, 1, 2, 2)
    assert rank_correlation(maps, nothing).tolist() == [[0]]
    assert rank_correlation(nothing, nothing).tolist() == [[1]]


def test_weights_are_drawn_anew_from_the_top_and_the_model_keeps_its_own() -> None:
    model = seeded(lenet)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    changed = []
    for name, copy in cascade(model, seed=0):
        different = {
            key.split(".")[0] for key, value in copy.state_dict().items() if not torch.equal(value, before[key])
        }
        changed.append((name, different))
    names = ["fc3", "fc2", "fc1", "conv2", "conv1"]
    assert changed == [(name, set(names[: place + 1])) for place, name in enumerate(names)]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_verdict_names_who_is_beaten_and_by_how_much() -> None:
    def of(*scores: float) -> Faithfulness:
        return Faithfulness(torch.zeros(len(scores), 1), torch.tensor(scores).unsqueeze(1))

    text = verdict("grad_cam", of(0.8, 0.9, 0.7), {"random": of(0.3, 0.4, 0.2), "edges": of(0.9, 0.2, 1.1)})
    assert "beats random (+0.500, standard error 0.000)" in text
    assert "is level with edges (+0.067" in text
    assert "its insertion is 0.800" in text
    assert "loses to edges (-0.100" in verdict("saliency", of(0.8, 0.9), {"edges": of(0.9, 1.0)})
