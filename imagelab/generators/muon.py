"""Muon: an optimiser that gives every direction of a weight matrix the same length of step.

The gradients of a network's matrices are dominated by few directions, and Adam, which scales every number by itself,
leaves it so. Muon replaces the running mean of a matrix's gradients by the nearest matrix with orthonormal rows or
columns, found by a few products of matrices (a Newton-Schulz iteration). A kernel of a convolution counts as the matrix
[outputs, inputs x places]. Biases, gains, maps of places, and matrices that are named, are
trained by Adam.

torch.optim.Muon takes neither kernels of convolutions nor parameters for Adam, and it rounds to bfloat16, which is slow
on a CPU. What it gains over Adam is told in experiments/studies/first_generation.py.

References:
    Muon: an optimizer for hidden layers in neural networks (Jordan et al. 2024), kellerjordan.github.io/posts/muon.
    Muon is scalable for LLM training (updates of the size of Adam's; Liu et al. 2025), arXiv:2502.16982.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

__all__ = ["Muon", "orthogonal"]

STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the iteration; they bring singular values of 0.001 to 1 to 0.7 to 1.2 in five steps (Jordan et al. 2024)."""

SIZE = 0.2
"""Root mean square of an update at learning rate 1, that of Adam's in practice (Liu et al. 2025)."""


class Muon(torch.optim.Optimizer):
    """Muon for matrices and kernels, Adam for all other parameters, at one learning rate.

    Args:
        named: names and parameters.
        learning_rate: of both.
        by_adam: names of matrices that Adam trains all the same, such as the last layer.
        momentum: share of the running mean of the gradients that stays in each step (with Nesterov's look ahead).
        betas: of Adam.
    """

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        learning_rate: float,
        by_adam: Collection[str] = (),
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        matrices, others = list[nn.Parameter](), list[nn.Parameter]()
        for name, parameter in named:
            (matrices if _is_matrix(parameter) and name not in by_adam else others).append(parameter)
        groups = [{"params": matrices, "matrices": True}, {"params": others, "matrices": False}]
        # "fused": so that load_state_dict leaves the counters of steps on the device, where fused Adam reads them
        defaults = {"lr": learning_rate, "momentum": momentum, "betas": betas, "eps": 1e-8, "fused": True}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Change the parameters by their gradients; a closure is not called."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["matrices"]:
                self._by_muon(parameters, group["lr"], group["momentum"])
            elif parameters:
                self._by_adam(parameters, group["lr"], group["betas"], group["eps"])

    def _by_muon(self, parameters: list[Tensor], rate: float, momentum: float) -> None:
        """Move matrices; those of the same form are made orthogonal together."""
        alike: dict[torch.Size, list[Tensor]] = {}
        for parameter in parameters:
            if "momentum" not in self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
            alike.setdefault(parameter.shape, []).append(parameter)
        for shape, same in alike.items():
            means = [self.state[parameter]["momentum"] for parameter in same]
            gradients = [parameter.grad for parameter in same if parameter.grad is not None]
            torch._foreach_lerp_(means, gradients, 1 - momentum)
            ahead = torch._foreach_lerp(gradients, means, momentum)
            updates = orthogonal(torch.stack([update.flatten(1) for update in ahead]))
            moved = [update.reshape(shape) for update in updates]
            torch._foreach_add_(same, moved, alpha=-rate * SIZE * max(updates.shape[1:]) ** 0.5)

    def _by_adam(self, parameters: list[Tensor], rate: float, betas: tuple[float, float], eps: float) -> None:
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros((), device=parameter.device)
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        steps, first, second = (
            [self.state[parameter][name] for parameter in parameters] for name in ("step", "exp_avg", "exp_avg_sq")
        )
        adam(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            first,
            second,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=betas[0],
            beta2=betas[1],
            lr=rate,
            weight_decay=0.0,
            eps=eps,
            maximize=False,
        )


def _is_matrix(parameter: Tensor) -> bool:
    """Return whether a parameter is a matrix or kernel with more than one row and column."""
    return parameter.dim() in (2, 4) and parameter.shape[0] > 1 and parameter[0].numel() > 1


def orthogonal(matrices: Tensor) -> Tensor:
    """Return nearly the nearest matrices with orthonormal rows or columns: [B,n,m] -> [B,n,m].

    Singular values that are not far below the largest come to 0.7 to 1.2, which is near enough for an update.
    """
    a, b, c = COEFFICIENTS
    x = matrices / matrices.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    for _ in range(STEPS):
        products = x @ x.mT
        x = a * x + (b * products + c * products @ products) @ x
    return x.mT if tall else x
