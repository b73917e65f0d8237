"""Measurements in feature spaces, written anew from their definitions: distances, variety, neighbours, classifiers.

Part of recompute.py; it imports nothing of the package. The networks are rebuilt from the file of weights and from
random numbers. Distances between all pairs are full matrices; derivatives by the units of the features, which are a
part of some errors, are taken by automatic differentiation instead of by formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from recompute_pixels import (
    GROUPS,
    Case,
    Found,
    Shard,
    divided,
    generator,
    jackknifed,
    limits_of_share,
    rings,
    rounding_power,
    seed_of,
    standard_error,
    wilson,
)
from scipy import optimize, special
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist
from torch.nn import functional

SSL = "imagelab-ssl-v1"
NEAREST = 5
Pair = tuple[np.ndarray, np.ndarray]


def weights_of(case: Case) -> dict[str, torch.Tensor]:
    """Return the tensors of the trained network, read from its file."""
    from safetensors.torch import load_file

    return load_file(case.package / "metrics" / f"{SSL}.safetensors")


def activations(images: np.ndarray, space: str, weights: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Return the layers of a network for images: five convolutions of the trained one, three of a random one."""
    signal = torch.from_numpy(images).float().expand(-1, 3, -1, -1) / 127.5 - 1
    if space == SSL:
        filters = [(weights[f"conv_{k}.weight"], weights[f"conv_{k}.bias"], s) for k, s in enumerate((2, 1, 2, 2, 2))]
    else:
        rng, filters = generator(int(space[-1]), "randconv"), []
        for into, out, side in ((3, 16, 5), (16, 32, 3), (32, 64, 3)):
            drawn = rng.standard_normal((out, into, side, side)) * math.sqrt(2 / (into * side * side))
            if into == 3:
                drawn[:12] -= drawn[:12].mean(axis=(2, 3), keepdims=True)
            filters.append((torch.from_numpy(drawn.astype(np.float32)), None, 2))
    maps = []
    for weight, bias, stride in filters:
        signal = functional.conv2d(signal, weight, bias, stride, padding=weight.shape[-1] // 2).relu()
        maps.append(signal)
    return maps


def features(shard: Shard, space: str, case: Case) -> np.ndarray:
    """Return the features of images, float64 [N,D]; those of the trained network with phi for its PD beside them."""
    if space not in shard.memory:
        weights, parts, phi = weights_of(case), [], []
        with torch.inference_mode():
            for start in range(0, len(shard), 50):
                maps = activations(shard.images[start : start + 50], space, weights)
                moments = []
                for each in maps:
                    flat = each.flatten(2).double()
                    spread = flat.var(2, correction=0)
                    moments += [flat.mean(2), (spread + 1e-5 * (space == SSL)).sqrt()]
                whole = torch.cat(moments, 1)
                if space == SSL:
                    w = {name: tensor.double() for name, tensor in weights.items() if name[:4] != "conv"}
                    identity = functional.linear(whole, w["identity.weight"], w["identity.bias"])
                    hidden = functional.linear(whole, w["hidden.weight"], w["hidden.bias"]).relu()
                    readings = functional.linear(hidden, w["readings.weight"], w["readings.bias"])
                    whole = torch.cat([*moments[:2], identity, readings], 1)
                    unit = [
                        m / (m.norm(dim=1, keepdim=True) + 1e-10) / math.sqrt(4 * m[0, 0].numel()) for m in maps[1:]
                    ]
                    phi.append(torch.cat([u.flatten(1) for u in unit], 1).float())
                parts.append(whole)
        shard.memory[space] = torch.cat(parts).numpy()
        if phi:
            shard.memory["phi"] = _phi_sums(phi)
    return shard.memory[space]


def _phi_sums(phi: list[torch.Tensor]) -> tuple[float, np.ndarray]:
    """Return the mean distance of all pairs of different images, and of each image to all others up to a constant."""
    n = sum(map(len, phi))
    squares = torch.cat([(part.double() ** 2).sum(1) for part in phi])
    mean = torch.stack([part.double().sum(0) for part in phi]).sum(0) / n
    value = 2 * (squares.mean() - mean @ mean) * n / (n - 1)
    return float(value), (squares - 2 * torch.cat([part.double() @ mean for part in phi])).numpy()


def standardised(case: Case, space: str, other: Shard | None = None) -> Pair:
    """Return held-out and generated (or other) features in units of the held-out ones."""
    real, fake = features(case.real, space, case), features(other or case.fake, space, case)
    mean, spread = real.mean(0), real.std(0, ddof=1)
    alive = (spread > 1e-3 * np.median(spread)) & (spread > 1e-6 * np.abs(mean))
    return (real[:, alive] - mean[alive]) / spread[alive], (fake[:, alive] - mean[alive]) / spread[alive]


def anew(real: np.ndarray, fake: np.ndarray, centre: bool = True) -> Pair:
    """Return a part of both sets in units of that part of the reference."""
    spread = real.std(0, ddof=1)
    spread = np.where(spread > 1e-3, spread, 1.0)
    mean = real.mean(0) if centre else 0.0
    return (real - mean) / spread, (fake - mean) / spread


def without(case: Case, pair: Pair, statistic: Callable[[np.ndarray, np.ndarray], float], own_unit: bool) -> np.ndarray:
    """Return a statistic without each group of images in turn."""
    labels = divided(case, case.seed)
    left = []
    for j in range(labels[0].max() + 1):
        part = pair[0][labels[0] != j], pair[1][labels[1] != j]
        left.append(statistic(*(anew(*part) if own_unit else part)))
    return np.array(left)


def ruler(case: Case, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and spread of the reference without each group, [g,D] each."""
    label = divided(case, case.seed)[0]
    parts = [real[label != j] for j in range(label.max() + 1)]
    mean, spread = np.array([p.mean(0) for p in parts]), np.array([p.std(0, ddof=1) for p in parts])
    return np.where(spread < 1e-3, 0.0, mean), np.where(spread < 1e-3, 1.0, spread)


def slopes(statistic: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], size: int) -> Pair:
    """Return the derivatives of a statistic by the zero point and by the log of the unit of each feature."""
    zero = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    log_unit = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    grads = torch.autograd.grad(statistic(zero, log_unit), (zero, log_unit), allow_unused=True)
    one, two = (np.zeros(size) if g is None else g.numpy() for g in grads)
    return one, two


def distances(case: Case, space: str) -> dict[str, Found]:
    """Fréchet distance, plain and corrected."""
    pair = standardised(case, space)
    value, left = frechet(*pair), without(case, pair, frechet, own_unit=True)
    error = jackknifed(left)
    return {
        f"frechet/{space}": Found(value, error),
        f"frechet_corrected/{space}": Found(len(left) * value - (len(left) - 1) * left.mean(), error),
    }


def frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """Return |difference of means|^2 + Tr (A + B - 2 (A^1/2 B A^1/2)^1/2)."""
    a, b = np.cov(real.T), np.cov(fake.T)
    shares, axes = np.linalg.eigh(a)
    root = (axes * np.sqrt(np.maximum(shares, 0))) @ axes.T
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b @ root), 0)).sum()
    return float(np.sum((real.mean(0) - fake.mean(0)) ** 2) + np.trace(a) + np.trace(b) - 2 * overlap)


def kernels(case: Case, space: str) -> dict[str, Found]:
    """Kernel distance with the cubic kernel, and in the trained space with the Gaussian one."""
    real, fake = standardised(case, space)
    found = {f"kernel/{space}": _mmd(case, real, fake, lambda x, y: (x @ y.T / real.shape[1] + 1) ** 3, True)}
    if space == SSL:
        some = real[:: -(-len(real) // 2000)]
        width = float(np.median(cdist(some, some)[np.triu_indices(len(some), 1)]))
        rbf = _mmd(
            case,
            real,
            fake,
            lambda x, y: torch.exp(-(torch.cdist(x, y, compute_mode=EXACT) ** 2) / (2 * width**2)),
            False,
        )
        found[f"kernel_rbf/{space}"] = Found(1000 * rbf.value, 1000 * (rbf.stderr or 0))
    return found


EXACT = "donot_use_mm_for_euclid_dist"
Kernel = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _mmd(case: Case, real: np.ndarray, fake: np.ndarray, kernel: Kernel, cubic: bool) -> Found:
    """Return the unbiased MMD^2 and its delete-one jackknife error, with the influence of the ruler."""
    x, y = torch.from_numpy(real), torch.from_numpy(fake)
    n, m = len(x), len(y)
    xx, yy, xy = kernel(x, x).fill_diagonal_(0), kernel(y, y).fill_diagonal_(0), kernel(x, y)

    def mmd(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, p: int, q: int) -> torch.Tensor:
        return a / (p * (p - 1)) + b / (q * (q - 1)) - 2 * c / (p * q)

    value = mmd(xx.sum(), yy.sum(), xy.sum(), n, m)
    less_x = mmd(xx.sum() - 2 * xx.sum(1), yy.sum(), xy.sum() - xy.sum(1), n - 1, m).numpy()
    less_y = mmd(xx.sum(), yy.sum() - 2 * yy.sum(1), xy.sum() - xy.sum(0), n, m - 1).numpy()

    def moved(zero: torch.Tensor, log_unit: torch.Tensor) -> torch.Tensor:
        a, b = (x - zero) / log_unit.exp(), (y - zero) / log_unit.exp()
        off = 1 - torch.eye(n, dtype=torch.float64), 1 - torch.eye(m, dtype=torch.float64)
        return mmd((kernel(a, a) * off[0]).sum(), (kernel(b, b) * off[1]).sum(), kernel(a, b).sum(), n, m)

    if cubic:
        of_zero, of_unit = slopes(moved, real.shape[1])
    else:
        of_zero, of_unit = _gaussian_slopes(real, fake, (xx, yy, xy))
    influence = real @ of_zero + (real**2 - 1) @ of_unit / 2
    errors = (
        standard_error((n - 1) * less_x - influence, case.real.groups),
        standard_error((m - 1) * less_y, case.fake.groups),
    )
    return Found(float(value), math.hypot(errors[0] or 0, errors[1] or 0))


def _gaussian_slopes(real: np.ndarray, fake: np.ndarray, sums: tuple[torch.Tensor, ...]) -> Pair:
    """Return the slopes of the Gaussian kernel's MMD^2; the width follows a common scale, a common shift is nothing.

    d k / d log s_d = k (x_d - y_d)^2 / width^2, and width is taken from the kernel itself: k = exp(-r^2 / 2 width^2).
    """
    some = real[:: -(-len(real) // 2000)]
    width = np.median(cdist(some, some)[np.triu_indices(len(some), 1)])
    n, m, total = len(real), len(fake), np.zeros(real.shape[1])
    shares = 1 / (n * (n - 1)), 1 / (m * (m - 1)), -2 / (n * m)
    for share, k, a, b in zip(shares, sums, (real, fake, real), (real, fake, fake), strict=True):
        table = k.numpy()  # the sum over all pairs of k (a - b)^2, feature by feature
        apart = table.sum(1) @ a**2 + table.sum(0) @ b**2 - 2 * np.sum(a * (table @ b), axis=0)
        total += share * apart / width**2
    return np.zeros(real.shape[1]), total - total.mean()


def variety(case: Case) -> dict[str, Found]:
    """Vendi scores, order-2 variety against the reference, perceptual diversity."""
    real, fake = standardised(case, SSL)
    mean, spread = ruler(case, real)
    label = divided(case, case.seed)[1]
    found = {}
    for name, centre in (("vendi", 0.0), ("vendi_centred", fake.mean(0))):
        points = torch.from_numpy(fake - centre)

        def score(x: torch.Tensor) -> torch.Tensor:
            unit = x / x.norm(dim=1, keepdim=True)
            shares = torch.linalg.eigvalsh(unit.T @ unit / len(unit))
            shares = shares[shares > 1e-12]
            return torch.exp(-(shares * shares.log()).sum())

        of_zero, of_unit = slopes(lambda zero, unit, p=points, f=score: f((p - zero) / unit.exp()), real.shape[1])
        left = []
        for j in range(label.max() + 1):
            gone = label == j
            value = float(score(points[torch.from_numpy(~gone)])) + np.log(spread[j]) @ of_unit
            moved = mean[j] if name == "vendi" else -points.numpy()[gone].sum(0) / (~gone).sum()
            left.append(value + moved @ of_zero)
        found[f"{name}/{SSL}"] = Found(float(score(points)), jackknifed(np.array(left)))

    def ratio(a: np.ndarray, b: np.ndarray) -> float:
        return kinds(b) / kinds(a)

    found[f"rke/{SSL}"] = Found(ratio(real, fake), jackknifed(without(case, (real, fake), ratio, own_unit=True)))
    value, each = case.fake.memory["phi"]
    n, error = len(each), standard_error(each, case.fake.groups) or 0
    found[f"perceptual_diversity/{SSL}"] = Found(value, 2 * error * n / (n - 1))
    return found


def kinds(points: np.ndarray) -> float:
    """Return 1 / mean of squared cosines of all pairs of different images about their mean."""
    unit = points - points.mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines = unit @ unit.T
    n = len(unit)
    return float(n * (n - 1) / (np.sum(cosines**2) - n))


def sliced(case: Case) -> dict[str, Found]:
    """Sliced Wasserstein distance along 256 lines, plain and corrected."""
    real, fake = standardised(case, SSL)
    rng, lines = generator(case.seed, "sliced"), []
    for _ in range(8):
        block = rng.standard_normal((32, real.shape[1]))
        lines.append(block / np.linalg.norm(block, axis=1, keepdims=True))
    along = torch.from_numpy(np.concatenate(lines))
    x, y = torch.from_numpy(real), torch.from_numpy(fake)
    each = _w2(x @ along.T, y @ along.T).numpy()
    labels = divided(case, case.seed)
    keep = [(torch.from_numpy(labels[0] != j), torch.from_numpy(labels[1] != j)) for j in range(labels[0].max() + 1)]
    left = np.array([float(_w2(x[a] @ along.T, y[b] @ along.T).mean()) for a, b in keep])
    value, g = float(each.mean()), len(left)
    _, of_unit = slopes(lambda zero, unit: _w2(x / unit.exp() @ along.T, y / unit.exp() @ along.T).mean(), len(real[0]))
    left = left + np.log(ruler(case, real)[1]) @ of_unit
    error = math.hypot(jackknifed(left), float(each.std(ddof=1)) / 16)
    corrected = g * value - (g - 1) * left.mean()
    return {f"sliced_w2/{SSL}": Found(value, error), f"sliced_w2_corrected/{SSL}": Found(float(corrected), error)}


def _w2(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    """Return the integral of the squared difference of the quantile functions along each line: [N,L], [M,L] -> [L]."""
    n, m = len(one), len(two)
    steps = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    middle = (steps[1:] + steps[:-1]) / 2
    a, b = torch.from_numpy((middle // m).astype(int)), torch.from_numpy((middle // n).astype(int))
    share = torch.from_numpy(np.diff(steps) / (n * m))
    return share @ (one.sort(0).values[a] - two.sort(0).values[b]) ** 2


# neighbours


def balls(points: np.ndarray, k: int = NEAREST) -> np.ndarray:
    """Return the distance of each point to its k-th nearest other one."""
    table = cdist(points, points)
    np.fill_diagonal(table, np.inf)
    return np.sort(table, axis=1)[:, k - 1]


def prdc_values(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Return precision, recall, density, coverage."""
    table, of_real, of_fake = cdist(real, fake), balls(real), balls(fake)
    inside = table < of_real[:, None]
    return np.array(
        [inside.any(0).mean(), (table < of_fake).any(1).mean(), inside.sum(0).mean() / NEAREST, inside.any(1).mean()]
    )


def clipped_values(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Return clipped density and coverage."""
    radius = balls(real)
    small = np.minimum(radius, np.median(radius))
    own = cdist(real, real)
    np.fill_diagonal(own, np.inf)
    unit = np.minimum((own <= small[:, None]).sum(0) / NEAREST, 1).mean()
    table = cdist(real, fake)
    density = np.minimum((table < small[:, None]).sum(0) / NEAREST, 1).mean() / unit
    covered = np.minimum((table < radius[:, None]).sum(1) / NEAREST, 1).mean()
    return np.array([density, _equivalent(float(covered), len(real), len(fake))])


def _equivalent(covered: float, n: int, m: int) -> float:
    """Return the share of m images of the real distribution that would cover so much in expectation, at most 4."""

    def expected(count: float) -> float:
        j = np.arange(NEAREST)
        j = j[j <= count]
        choose = special.gammaln(count + 1) - special.gammaln(j + 1) - special.gammaln(count - j + 1)
        chance = choose + special.betaln(NEAREST + j, n - NEAREST + count - j) - special.betaln(NEAREST, n - NEAREST)
        return 1 - float(((1 - j / NEAREST) * np.exp(chance)).sum())

    if covered <= 0:
        return 0.0
    if covered >= expected(4.0 * m):
        return 4.0
    return float(optimize.brentq(lambda count: expected(count) - covered, 0.0, 4.0 * m, xtol=1e-10)) / m  # type: ignore


def neighbours(case: Case) -> dict[str, Found]:
    """Precision, recall, density, coverage; clipped density and coverage."""
    real, fake = standardised(case, SSL)
    values, found = prdc_values(real, fake), {}
    least = min(len(s) if s.groups is None else len(np.unique(s.groups)) for s in (case.real, case.fake))
    errors: list[float | None] = [None] * 4
    if min(len(real), len(fake)) >= 5 * 8 * NEAREST:
        spreads = []
        for cut in range(4):
            labels = divided(case, seed_of(case.seed, "prdc", cut), 5)
            pairs = [anew(real[labels[0] == j], fake[labels[1] == j], centre=False) for j in range(5)]
            spreads.append(np.var([prdc_values(*pair) for pair in pairs], axis=0, ddof=1) / 5)
        errors = np.sqrt(np.mean(spreads, axis=0)).tolist()
    for name, value, error in zip(("precision", "recall", "density", "coverage"), values.tolist(), errors, strict=True):
        limits = None if error is None or name == "density" else limits_of_share(value, error, least, 8)
        found[f"prdc/{name}"] = Found(value, error, limits)
    spreads = []
    if min(len(real), len(fake)) >= 40:
        for cut in range(8):
            labels = divided(case, seed_of(case.seed, "clipped", cut), 2)
            pairs = [anew(real[labels[0] == j], fake[labels[1] == j]) for j in range(2)]
            spreads.append(np.var([clipped_values(*pair) for pair in pairs], axis=0, ddof=1) / 2)
    both = np.sqrt(np.mean(spreads, axis=0)).tolist() if spreads else [None, None]
    for name, value, error in zip(("density", "coverage"), clipped_values(real, fake).tolist(), both, strict=True):
        found[f"clipped_{name}"] = Found(value, error)
    return found


def entropy(case: Case) -> dict[str, Found]:
    """Kozachenko-Leonenko entropy against the reference, and the share of exact copies within the set."""
    real, fake = standardised(case, SSL)
    shares, axes = np.linalg.eigh(np.cov(real.T))
    plane = axes[:, np.argsort(shares)[::-1][:10]]
    n, rng = min(len(real), len(fake)), generator(case.seed, "entropy")
    real = real[np.sort(rng.permutation(len(real))[:n])] @ plane
    fake = fake[np.sort(rng.permutation(len(fake))[:n])] @ plane
    tables = [cdist(each, each) for each in (real, fake)]
    for table in tables:
        np.fill_diagonal(table, np.inf)

    def h(table: np.ndarray) -> float:
        d, size = 10, len(table)
        ball = d / 2 * math.log(math.pi) - special.gammaln(d / 2 + 1)
        return float(special.digamma(size) - special.digamma(1) + ball + d * np.log(table.min(1)).mean())

    size = np.sqrt(np.mean(np.sum((fake - fake.mean(0)) ** 2, 1)))
    twins = int((tables[1].min(1) <= 1e-5 * size).sum())
    likely = (twins + 2) / (n + 4)
    found = {
        f"entropy_twins/{SSL}": Found(twins / n, math.sqrt(likely * (1 - likely) / (n + 4)), wilson(twins / n, n / 2))
    }
    if twins or min(table.min() for table in tables) <= 0:
        return found
    labels = divided(Case(Shard(fake), Shard(real), None, None, None, None, case.seed, case.package), case.seed)
    left = []
    for j in range(GROUPS):
        kept = [label != j for label in labels]
        left.append(h(tables[1][np.ix_(kept[1], kept[1])]) - h(tables[0][np.ix_(kept[0], kept[0])]))
    found[f"entropy/{SSL}"] = Found(h(tables[1]) - h(tables[0]), jackknifed(np.array(left)))
    return found


def _log_normal(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    gap = x - mean
    mahalanobis = np.einsum("nd,nd->n", gap, np.linalg.solve(covariance, gap.T).T)
    return -0.5 * (mahalanobis + np.linalg.slogdet(2 * math.pi * covariance)[1])


def likelihood(case: Case) -> dict[str, Found]:
    """Held-out likelihood of the reference under four Gaussians, against the reference's own."""
    real, fake = standardised(case, SSL)
    shares, axes = np.linalg.eigh(np.cov(real.T))
    plane = axes[:, np.argsort(shares)[::-1][:10]]
    real, fake = real @ plane, fake @ plane
    labels = divided(case, case.seed)
    ridge = 1e-3 * float(real.var(0).mean()) * np.eye(10)

    def log_parts(x: np.ndarray, fitted: list[tuple[float, np.ndarray, np.ndarray]]) -> np.ndarray:
        return np.stack([math.log(w) + _log_normal(x, mean, cov) for w, mean, cov in fitted], 1)

    def weighted(x: np.ndarray, share: np.ndarray) -> list[tuple[float, np.ndarray, np.ndarray]]:
        total = share.sum(0) + 1e-9
        found = []
        for k in range(4):
            mean = share[:, k] @ x / total[k]
            gap = x - mean
            found.append((total[k] / total.sum(), mean, (gap * share[:, k, None]).T @ gap / total[k] + ridge))
        return found

    def fit(x: np.ndarray) -> list[tuple[float, np.ndarray, np.ndarray]]:
        side = x[:, :2] > x[:, :2].mean(0)
        fitted = weighted(x, np.eye(4)[2 * side[:, 0] + side[:, 1]])
        for _ in range(3):
            fitted = weighted(x, special.softmax(log_parts(x, fitted), axis=1))
        return fitted

    def density(x: np.ndarray, fitted: list[tuple[float, np.ndarray, np.ndarray]]) -> np.ndarray:
        return np.asarray(special.logsumexp(log_parts(x, fitted), axis=1))

    own = np.empty(len(real))
    for j in range(labels[0].max() + 1):
        own[labels[0] == j] = density(real[labels[0] == j], fit(real[labels[0] != j]))
    left = [(density(real, fit(fake[labels[1] != j])) - own)[labels[0] != j].mean() for j in range(labels[0].max() + 1)]
    return {f"likelihood/{SSL}": Found(float((density(real, fit(fake)) - own).mean()), jackknifed(np.array(left)))}


# classifiers


def logistic(x: np.ndarray, y: np.ndarray, balanced: bool) -> tuple[np.ndarray, float]:
    """Return weights and offset of a logistic regression with penalty |w|^2 / 2 against .01 x the loss, by Newton."""
    sign = np.where(y == 1, 1.0, -1.0)
    each = np.where(y == 1, len(y) / (2 * y.sum()), len(y) / (2 * (y == 0).sum())) if balanced else np.ones(len(y))
    full, found = np.hstack([x, np.ones((len(x), 1))]), np.zeros(x.shape[1] + 1)
    penalty = np.ones(len(found))
    penalty[-1] = 0
    for _ in range(50):
        p = special.expit(sign * (full @ found))
        slope = penalty * found - 0.01 * full.T @ (each * sign * (1 - p))
        bend = np.diag(penalty + 1e-12) + 0.01 * (full * (each * p * (1 - p))[:, None]).T @ full
        step = np.linalg.solve(bend, slope)
        found -= step
        if np.abs(step).max() < 1e-10:
            break
    return found[:-1], float(found[-1])


def placed(real: np.ndarray, fake: np.ndarray) -> Pair:
    """Return the share of generated scores above each real one, and of real scores below each generated one."""
    above = (fake[None] > real[:, None]) + 0.5 * (fake[None] == real[:, None])
    return above.mean(1), above.mean(0)


def detector(case: Case) -> dict[str, Found]:
    """AUC of a five-fold logistic regression, on the features, with log powers beside them, and on ten images."""
    real, fake = standardised(case, SSL)
    rng = generator(case.seed, "detector")
    for each in (real, fake):
        rng.permutation(len(each))  # at most 10,000 images: all of them, in their order
    powers = [_log_powers(shard) for shard in (case.real, case.fake)]
    mean, spread = powers[0].mean(0), powers[0].std(0, ddof=1)
    detail = [(each - mean)[:, spread > 0] / spread[spread > 0] for each in powers]
    both = np.hstack([real, detail[0]]), np.hstack([fake, detail[1]])
    return {
        f"detector/{SSL}": _folded(case, real, fake),
        f"detector/spectrum+{SSL}": _folded(case, *both),
        f"detector_starved/{SSL}": _starved(case, real, fake),
    }


def _log_powers(shard: Shard) -> np.ndarray:
    power, count = rings(shard)
    half = min(shard.images.shape[2:]) // 2
    edges = [*range(1, half + 2), len(count)]
    noise = rounding_power(shard.images.shape[1:])
    parts = [power[:, a:b].sum(1) / count[a:b].sum() + noise for a, b in pairwise(edges)]
    return np.log(np.stack(parts, 1))


def _folded(case: Case, real: np.ndarray, fake: np.ndarray) -> Found:
    """Stratified folds: each kind is dealt out in turn, and the deal is shuffled, real images first."""
    rng, folds = np.random.RandomState(case.seed % 2**32), []
    order = np.repeat([0, 1], [len(real), len(fake)])
    for kind in (0, 1):
        sizes = [int((order[j::5] == kind).sum()) for j in range(5)]
        fold = np.repeat(np.arange(5), sizes)
        rng.shuffle(fold)
        folds.append(fold)
    results = []
    for j in range(5):
        out = folds[0] == j, folds[1] == j
        x = np.concatenate([real[~out[0]], fake[~out[1]]])
        y = np.repeat([0, 1], [(~out[0]).sum(), (~out[1]).sum()])
        weight, _ = logistic(x, y, balanced=True)
        below = placed(real[out[0]] @ weight, fake[out[1]] @ weight)
        groups = [None if s.groups is None else s.groups[o] for s, o in zip((case.real, case.fake), out, strict=True)]
        errors = [standard_error(b, g) or 0 for b, g in zip(below, groups, strict=True)]
        results.append((below[1].mean(), errors[0] ** 2 + errors[1] ** 2))
    area, spread = np.mean(results, axis=0)
    return _area(float(area), math.sqrt(spread / 5 * (1 + 4 * area * (1 - area))), min(len(real), len(fake)))


def _area(area: float, stderr: float, n: int) -> Found:
    """Limits on the scale of log(A / (1 - A)); where all are in order, of a share of n that would stay unseen."""
    if not stderr or not 0 < area < 1:
        unseen = 0.025 ** (1 / n)
        return Found(area, None, (unseen, 1.0) if area > 0.5 else (0.0, 1 - unseen))
    half = 1.959963984540054 * stderr / (area * (1 - area))
    low, high = (float(special.expit(special.logit(area) + s * half)) for s in (-1, 1))
    return Found(area, stderr, (low, high))


def _starved(case: Case, real: np.ndarray, fake: np.ndarray) -> Found:
    rng = generator(case.seed, "detector starved")
    order = rng.permutation(len(real)), rng.permutation(len(fake))
    real, fake = real[order[0]], fake[order[1]]
    fits = min(20, len(real) // 20, len(fake) // 20)
    unseen = real[10 * fits :], fake[10 * fits :]
    rest = [
        None if s.groups is None else s.groups[o[10 * fits :]]
        for s, o in zip((case.real, case.fake), order, strict=True)
    ]
    every = []
    for k in range(fits):
        rows = slice(10 * k, 10 * k + 10)
        weight, _ = logistic(np.concatenate([real[rows], fake[rows]]), np.repeat([0, 1], 10), balanced=False)
        every.append(placed(unseen[0] @ weight, unseen[1] @ weight))

    def delong(pair: Pair) -> float:
        return sum((standard_error(p, g) or 0) ** 2 for p, g in zip(pair, rest, strict=True))

    areas = np.array([pair[1].mean() for pair in every])
    scored = delong((np.mean([p[0] for p in every], 0), np.mean([p[1] for p in every], 0)))
    own = max(float(np.mean([delong(pair) for pair in every])) - scored, 0.0)
    training = max(float(areas.var(ddof=1)) - own, 0.0)
    return _area(float(areas.mean()), math.sqrt(training / fits + scored), min(len(real), len(fake)))


# the training set


def memory_of_training(case: Case) -> dict[str, Found]:
    """Nearest training images: memorisation and generalisation."""
    assert case.train is not None
    heldout, fake = standardised(case, SSL)
    _, train = standardised(case, SSL, case.train)
    found = _generalisation(case, heldout, fake, train)
    n, rng = min(len(train), len(heldout)), generator(case.seed, "memorisation")
    rows = [np.sort(rng.permutation(len(each))[:n]) for each in (train, heldout)]
    tables = [cdist(fake, each[own]) for each, own in zip((train, heldout), rows, strict=True)]
    gap = tables[0].min(1) - tables[1].min(1)
    share = float(((gap < 0) + 0.5 * (gap == 0)).mean())
    if case.train.groups is None and case.real.groups is None:
        hub = np.where(gap < 0, tables[0].argmin(1), n + tables[1].argmin(1))[gap != 0]
        votes = np.bincount(hub, minlength=2 * n)
        error = math.sqrt(2 * n / (2 * n - 1) * float(((votes - votes.mean()) ** 2).sum())) / (2 * len(fake))
        found["memorisation/closer_to_train"] = Found(share, error, limits_of_share(share, error, (votes > 0).sum()))
    else:
        found["memorisation/closer_to_train"] = Found(share)
    table, among = cdist(fake, train), cdist(train, train)
    np.fill_diagonal(among, np.inf)
    near = table.argmin(1)
    authentic = (table.min(1) > among.min(1)[near]).astype(float)
    error, limits = None, None
    if case.train.groups is None:
        hubs = np.unique(near)
        links = coo_matrix((np.ones(len(hubs)), (hubs, among.argmin(1)[hubs])), (len(train), len(train)))
        together = connected_components(links, directed=False)[1][near]
        error = standard_error(authentic, together)
        limits = limits_of_share(float(authentic.mean()), error, len(np.unique(together)))
    found["memorisation/authenticity"] = Found(float(authentic.mean()), error, limits)
    return {**found, **_copies(case)}


def _copies(case: Case) -> dict[str, Found]:
    assert case.train is not None

    def coarse(images: np.ndarray) -> np.ndarray:
        edges = [np.round(np.linspace(0, side, min(10, side) + 1)).astype(int) for side in images.shape[2:]]
        mean = np.add.reduceat(np.add.reduceat(images.astype(float), edges[0][:-1], 2), edges[1][:-1], 3)
        mean /= np.diff(edges[0])[:, None] * np.diff(edges[1])
        flat = mean.reshape(len(images), -1)
        return flat - flat.mean(1, keepdims=True)

    made, train, held = (coarse(each.images) for each in (case.fake, case.train, case.real))
    threshold = np.quantile(cdist(held, train).min(1), 0.01)
    value, spread = 0.0, 1.0
    for side, weight in ((train, 1.0), (held, -len(train) / len(held))):
        table = cdist(made, side)
        hubs = table.argmin(1)[table.min(1) <= threshold]
        value += weight * len(hubs)
        spread += weight**2 * float((np.bincount(hubs, minlength=len(side)) ** 2).sum())
    grouped = case.train.groups is not None or case.real.groups is not None
    return {"memorisation/copies": Found(value / len(made), None if grouped else math.sqrt(spread) / len(made))}


def _generalisation(case: Case, heldout: np.ndarray, fake: np.ndarray, train: np.ndarray) -> dict[str, Found]:
    assert case.train is not None
    d, nears = heldout.shape[1], []
    for points in (fake, heldout):
        table = cdist(points, train)
        hub, distance = table.argmin(1), table.min(1)
        pull = -((points - train[hub]) ** 2 / np.maximum(distance, 1e-12)[:, None]).mean(0) / math.sqrt(d)
        nears.append((hub, distance / math.sqrt(d), pull))
    means = [float(distance.mean()) for _, distance, _ in nears]

    def error(weights: tuple[float, float]) -> float:
        hubs = np.concatenate([hub for hub, _, _ in nears])
        hubs = hubs if case.train is None or case.train.groups is None else case.train.groups[hubs]
        n = len(hubs)
        parts = [w * (x - x.mean()) * n / len(x) for w, (_, x, _) in zip(weights, nears, strict=True)]
        by_unit = weights[0] * nears[0][2] + weights[1] * nears[1][2]
        of_ruler = standard_error((heldout**2 - 1) @ by_unit / 2, case.real.groups) or 0
        return math.hypot(standard_error(np.concatenate(parts), hubs) or 0, of_ruler)

    ratio = means[0] / means[1]
    return {
        f"generalisation/{SSL}": Found(ratio, error((1 / means[1], -ratio / means[1]))),
        f"generalisation_distance/{SSL}": Found(means[0], error((1.0, 0.0))),
    }
