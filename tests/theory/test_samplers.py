from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from imagelab import theory

MODES = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0])


def cosine(steps: int) -> np.ndarray:
    """Alpha-bar of the cosine schedule at evenly spaced times, ending on the clean image."""
    return np.append(np.cos(np.linspace(1, 0, steps + 1)[:-1] * np.pi / 2 * 0.999) ** 2, 1.0)


def euler_times(steps: int) -> np.ndarray:
    return np.linspace(1, 0, steps + 1)


def karras(steps: int) -> np.ndarray:
    ramp = np.linspace(80 ** (1 / 7), 0.002 ** (1 / 7), steps)
    return np.append(ramp**7, 0.0)


LAWS = {
    "ddim": (theory.ddim_erosion, cosine),
    "ddpm": (theory.ddpm_erosion, cosine),
    "dpm++": (theory.dpm_erosion, cosine),
    "sde-dpm++": (theory.sde_dpm_erosion, cosine),
    "euler": (theory.flow_erosion, euler_times),
    "heun": (theory.heun_erosion, euler_times),
    "edm": (theory.edm_erosion, karras),
}


@pytest.mark.parametrize("name", LAWS)
def test_with_many_steps_every_sampler_keeps_the_variance(name: str) -> None:
    law, grid = LAWS[name]
    gaps = [np.abs(law(MODES, grid(steps)) / MODES - 1) for steps in (20, 100, 4000)]
    assert (gaps[2] < gaps[1])[2:].all()  # finer modes are affected by the last step, whatever the steps before it
    assert gaps[2][2:].max() < 0.03
    assert gaps[0].max() > 0.2  # and with few it does not


def test_second_order_beats_first_order_where_the_step_resolves_the_mode() -> None:
    def gap(law: Any, grid: np.ndarray) -> float:
        return float(abs(law(np.array(0.3), grid) / 0.3 - 1))

    for steps in (20, 40):
        assert gap(theory.heun_erosion, euler_times(steps)) < gap(theory.flow_erosion, euler_times(steps)) / 5
        assert gap(theory.dpm_erosion, cosine(steps)) < gap(theory.ddim_erosion, cosine(steps)) / 5
        edm = [
            abs(float(theory.edm_erosion(np.array(0.3), karras(steps), heun=heun)) / 0.3 - 1) for heun in (True, False)
        ]
        assert edm[0] < edm[1] / 2
    fewer, more = (gap(theory.heun_erosion, euler_times(steps)) for steps in (40, 80))
    assert 3 < fewer / more < 5  # an error of second order falls by four when the step is halved


def test_ancestral_sampling_erodes_more_than_its_deterministic_sister() -> None:
    for steps in (20, 100):
        assert (theory.ddpm_erosion(MODES, cosine(steps)) < theory.ddim_erosion(MODES, cosine(steps))).all()


def test_ancestral_noise_and_gain_are_as_played() -> None:
    rng, grid, x = np.random.default_rng(3), cosine(8), np.random.default_rng(4).standard_normal((len(MODES), 40_000))
    for now, after in pairwise(grid):
        clean = np.sqrt(now) * MODES[:, None] / (now * MODES[:, None] + 1 - now) * x
        beta = 1 - now / after  # Eq. 7 of Ho et al. 2020
        mean = np.sqrt(after) * beta / (1 - now) * clean + np.sqrt(now / after) * (1 - after) / (1 - now) * x
        x = mean + np.sqrt(beta * (1 - after) / (1 - now)) * rng.standard_normal(x.shape)
    assert_allclose((x**2).mean(1), theory.ddpm_erosion(MODES, grid), rtol=4 * np.sqrt(2 / 40_000))


@pytest.mark.parametrize("steps", [5, 20, 50])
def test_dpm_solver_agrees_with_diffusers_to_rounding(steps: int) -> None:
    import torch
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    scheduler: Any = DPMSolverMultistepScheduler(prediction_type="sample", timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    grid = 1 / (1 + scheduler.sigmas.numpy().astype(np.float64) ** 2)
    x = torch.ones(len(MODES), dtype=torch.float64)
    for time, a in zip(scheduler.timesteps, grid, strict=False):
        x = scheduler.step(torch.from_numpy(np.sqrt(a) * MODES / (a * MODES + 1 - a)) * x, time, x).prev_sample
    assert_allclose(x.numpy() ** 2, theory.dpm_erosion(MODES, grid), rtol=2e-3)


@pytest.mark.parametrize("steps", [5, 20])
def test_the_stochastic_dpm_solver_agrees_with_diffusers(steps: int) -> None:
    import torch
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    scheduler: Any = DPMSolverMultistepScheduler(
        algorithm_type="sde-dpmsolver++", prediction_type="sample", timestep_spacing="trailing"
    )
    scheduler.set_timesteps(steps)
    grid = 1 / (1 + scheduler.sigmas.numpy().astype(np.float64) ** 2)
    noise, modes, n = torch.Generator().manual_seed(0), torch.from_numpy(MODES).float(), 20_000
    x = torch.randn((n, len(MODES)), generator=noise)
    for time, a in zip(scheduler.timesteps, grid, strict=False):
        clean = float(np.sqrt(a)) * modes / (float(a) * modes + 1 - float(a)) * x
        x = scheduler.step(clean, time, x, generator=noise).prev_sample
    played = (x.double() ** 2).mean(0).numpy()
    assert_allclose(played, theory.sde_dpm_erosion(MODES, grid), rtol=4 * np.sqrt(2 / n))


def test_dpm_solver_may_end_before_the_clean_image_in_second_order_only_there() -> None:
    grid = cosine(20)[:-1]
    assert (theory.dpm_erosion(MODES, grid, first_order_last=False) != theory.dpm_erosion(MODES, grid)).all()
    with pytest.raises(ValueError, match="first_order_last"):
        theory.dpm_erosion(MODES, cosine(20), first_order_last=False)


def test_grids_that_make_no_sense_are_refused() -> None:
    for law in (theory.ddim_erosion, theory.ddpm_erosion, theory.dpm_erosion, theory.sde_dpm_erosion):
        with pytest.raises(ValueError, match="that rise"):
            law(MODES, np.array([1.0, 0.5]))
    for law in (theory.flow_erosion, theory.heun_erosion):
        with pytest.raises(ValueError, match="that fall"):
            law(MODES, np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="sigmas"):
        theory.edm_erosion(MODES, np.array([0.1, 0.2]))


def test_ddim_50_halves_modes_near_a_hundredth_and_takes_two_thirds_of_finer_ones() -> None:
    """Linear schedule of 1000 steps, leading, as Song et al. ran it. DDIM-1000 keeps most, but not of 1e-4."""
    kept = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    at_50, at_1000 = (
        theory.ddim_erosion(MODES, np.append(kept[:: 1000 // steps][::-1], 1.0)) / MODES for steps in (50, 1000)
    )
    assert_allclose(at_50, [0.311, 0.352, 0.614, 0.847, 0.929], atol=5e-4)
    assert_allclose(at_1000, [0.470, 0.856, 0.967, 0.991, 0.996], atol=5e-4)


def test_the_last_step_of_edm_costs_modes_below_its_least_noise() -> None:
    fine = np.array([1e-6, 4e-6, 1e-4])
    assert_allclose(theory.edm_erosion(fine, karras(2000)) / fine, fine / (fine + 0.002**2), rtol=0.01)


def test_heun_adds_energy_to_modes_that_its_steps_do_not_resolve_where_euler_takes_it() -> None:
    kept = {
        law: law(np.array([1e-4, 1e-3]), euler_times(25)) / [1e-4, 1e-3]
        for law in (theory.heun_erosion, theory.flow_erosion)
    }
    assert (kept[theory.heun_erosion] > 1.2).all()
    assert (kept[theory.flow_erosion] < 0.4).all()


@pytest.mark.parametrize("steps", [1, 2, 18, 250, 1000])
def test_karras_times_fall_no_two_alike_from_the_noise_asked_for(steps: int) -> None:
    for kept in (np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)), np.cos(np.linspace(0.01, np.pi / 2 - 1e-4, 1000)) ** 2):
        times = theory.karras_times(kept, steps)
        assert len(times) == steps and (np.diff(times) < 0).all() and times[0] <= 999
        assert steps == 1 or times[-1] == 0
        if steps < 100:  # where there is room
            sigma = np.sqrt(1 / kept - 1)
            assert abs(sigma[times[0]] / 80 - 1) < 0.1
            assert abs(sigma[theory.karras_times(kept, steps, top=20.0)[0]] / 20 - 1) < 0.1


def test_karras_times_refuse_more_steps_than_there_are_times() -> None:
    with pytest.raises(ValueError, match="expected 1 to 50 steps"):
        theory.karras_times(np.linspace(0.99, 0.01, 50), 51)
