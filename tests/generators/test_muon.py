"""The optimiser Muon: what it makes of a gradient, what it leaves to Adam, its state."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from imagelab.generators.muon import SIZE, Muon, orthogonal


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8, 6), nn.Linear(6, 2))


def stepped(trained: nn.Module, optimiser: torch.optim.Optimizer, seed: int = 1) -> None:
    noise = torch.Generator().manual_seed(seed)
    for parameter in trained.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=noise)
    optimiser.step()


@pytest.mark.parametrize("shape", [(2, 8, 20), (2, 20, 8), (1, 8, 8)])
def test_singular_values_become_nearly_one_and_directions_stay(shape: tuple[int, int, int]):
    given = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    left, values, right = torch.linalg.svd(given, full_matrices=False)
    made = left.mT @ orthogonal(given) @ right.mT
    reached = made.diagonal(dim1=1, dim2=2)
    well = values > 0.1 * values[:, :1]
    assert bool(((reached > 0.6) & (reached < 1.3))[well].all())
    assert float((made - torch.diag_embed(reached)).abs().max()) < 1e-4


def test_a_gradient_of_one_strong_direction_moves_all_directions_alike():
    trained = nn.Linear(6, 6, bias=False)
    before = trained.weight.detach().clone()
    trained.weight.grad = torch.diag(torch.tensor([100.0, 30.0, 10.0, 9.0, 8.0, 7.0]))
    Muon(trained.named_parameters(), 0.1).step()
    moved = (before - trained.weight.detach()).diagonal()
    assert float(moved.min()) > 0.5 * float(moved.max()) > 0
    assert float(moved.mean()) == pytest.approx(0.1 * SIZE * 6**0.5, rel=0.3)


def test_what_is_no_matrix_and_what_is_named_is_trained_as_adam_does():
    trained, other = net(), net()
    muon = Muon(trained.named_parameters(), 1e-2, by_adam=["4.weight"])
    adam = torch.optim.Adam(other.parameters(), 1e-2, betas=(0.9, 0.99))
    for seed in range(3):
        stepped(trained, muon, seed)
        stepped(other, adam, seed)
    same = {
        name
        for (name, one), (_, two) in zip(trained.named_parameters(), other.named_parameters(), strict=True)
        if torch.allclose(one, two, atol=1e-7)
    }
    assert same == {"0.bias", "1.bias", "3.bias", "4.bias", "4.weight"}


def test_its_state_goes_on_where_it_was():
    trained = net()
    muon = Muon(trained.named_parameters(), 1e-2)
    stepped(trained, muon)
    again = copy.deepcopy(trained)
    resumed = Muon(again.named_parameters(), 1e-2)
    resumed.load_state_dict(copy.deepcopy(muon.state_dict()))
    stepped(trained, muon, 5)
    stepped(again, resumed, 5)
    for one, two in zip(trained.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_a_state_from_the_cpu_goes_to_the_device_of_the_parameters_counters_included():
    trained = net()
    optimiser = Muon(trained.named_parameters(), 0.1)
    stepped(trained, optimiser)
    there = Muon(net().to("meta").named_parameters(), 0.1)  # stands for a CUDA device
    there.load_state_dict({**there.state_dict(), "state": optimiser.state_dict()["state"]})
    entries = [(name, value.device.type) for kept in there.state.values() for name, value in kept.items()]
    assert {name for name, _ in entries} == {"momentum", "step", "exp_avg", "exp_avg_sq"}
    assert {device for _, device in entries} == {"meta"}
