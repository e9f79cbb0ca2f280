"""Codes against the factors that made the images: MIG, SAP, DCI, beta-VAE, FactorVAE score.

Throughout, ``codes`` are floats (n, latent_dim), a row an image (usually the posterior means), and
``factors`` are integers (n, F), the class of each factor in the same rows. The defaults are those
of Locatello et al. (2019) in their disentanglement_lib. It draws 10,000 images to fit and 5,000 to
test; here SAP and DCI hold out a third of the rows, so 15,000 rows match it. Wrong shapes, codes
that are not finite and a factor with one value raise a ValueError. A single latent is scored as if
a second, constant one stood beside it. The same arguments give the same score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import sklearn
import torch
import torch.nn.functional as F
from sklearn.ensemble import HistGradientBoostingClassifier as BoostedTrees
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch import Tensor

from vaelib.checks import check_whole

GROUPS = 10_000, 5_000  # to fit and to test the beta-VAE and the FactorVAE score
TINY = 1e-300  # the least denominator, so that 0 / 0 is 0
WIDEST = 100.0  # standard deviation of a code that the support vector machine is given


class Dci(NamedTuple):
    """The three scores of `dci`, and each latent's importance for each factor, (latent_dim, F)."""

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Tensor


def mutual_information(codes: Tensor, factors: Tensor, bins: int = 20) -> Tensor:
    """I(z_j; v_k) of each code, cut into ``bins`` of equal width: (latent_dim, F) nats.

    A histogram of n rows adds about (bins - 1)(values - 1) / 2n nats, also to a code that knows
    nothing, and it can hold at most log(bins) nats. The bins are those of Locatello et al. (2019).

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3)).repeat(50, 1)
    >>> mutual_information(factors.float(), factors).round(decimals=2)  # log 4 and log 3 nats
    tensor([[1.3900, 0.0000],
            [0.0000, 1.1000]], dtype=torch.float64)
    """
    check_whole("bins", bins)
    codes, factors = _checked(codes, factors)
    binned = F.one_hot(bin_of(codes, bins), bins).double().flatten(1)
    counts = [
        (binned.T @ F.one_hot(values).double()).unflatten(0, (-1, bins)) for values in factors.T
    ]
    columns = [_entropy(c.sum(2)) + _entropy(c.sum(1)) - _entropy(c.flatten(1)) for c in counts]
    return torch.stack(columns, 1).clamp(min=0)


def factor_entropy(factors: Tensor) -> Tensor:
    """H(v_k) of each factor, from the frequencies of its values: (F,) nats.

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3)).repeat(50, 1)
    >>> factor_entropy(factors).exp()
    tensor([4.0000, 3.0000], dtype=torch.float64)
    """
    _, factors = _checked(torch.zeros(len(factors), 1), factors)
    return torch.stack([_entropy(values.bincount().double()) for values in factors.T])


def mig_gaps(codes: Tensor, factors: Tensor, bins: int = 20) -> Tensor:
    """(I of the best code - I of the second) / H(v_k) of each factor, (F,) (eq:mig).

    A gap is at most log(bins) / H(v_k): 0.81 for a factor of 40 values and 20 bins, however good
    the code.

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3)).repeat(50, 1)
    >>> one_latent_twice = factors[:, [0, 0, 1]].float()
    >>> mig_gaps(one_latent_twice, factors).round(decimals=2)
    tensor([0., 1.], dtype=torch.float64)
    """
    codes, factors = _checked(codes, factors, rival=True)
    best, second = mutual_information(codes, factors, bins).topk(2, dim=0).values
    return (best - second) / factor_entropy(factors)


def mig(codes: Tensor, factors: Tensor, bins: int = 20) -> float:
    """The mutual information gap, the mean of `mig_gaps` (eq:mig).

    Source: Chen et al. (2018), section 4.1.

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3)).repeat(50, 1)
    >>> round(mig(factors.float(), factors), 3), round(mig(factors.float().fliplr(), factors), 3)
    (1.0, 1.0)
    """
    return mig_gaps(codes, factors, bins).mean().item()


def sap_matrix(codes: Tensor, factors: Tensor, predictor: str = "svm", seed: int = 0) -> Tensor:
    """How well each code alone predicts each factor: (latent_dim, F) (eq:sap).

    ``"svm"``: the accuracy on held-out rows of a linear support vector machine (C = 0.01, classes
    weighted equally, at most 1,000 iterations). A line through one code can hardly set an inner
    value of a factor apart from both its neighbours: with 40 values the factor itself, centred, is
    right in about 5 % of the rows, and in more with a constant added. A code of a standard
    deviation above 100 is scaled down to that, for from some 10,000 on the machine stops before its
    optimum, and says nothing. ``"r2"``: the squared
    correlation over all rows, which Kumar et al. (2018) use for factors whose values are ordered.

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3)).repeat(50, 1)
    >>> sap_matrix(factors.float(), factors, predictor="r2").round(decimals=2).abs()
    tensor([[1., 0.],
            [0., 1.]], dtype=torch.float64)
    """
    codes, factors = _checked(codes, factors)
    if predictor == "r2":
        x, y = (F.normalize(t - t.mean(0), dim=0, eps=1e-6) for t in (codes, factors.double()))
        return (x.T @ y).square()
    if predictor != "svm":
        raise ValueError(f"predictor is {predictor!r}; allowed: 'svm', 'r2'")
    wide = codes.std(0, correction=0).div(WIDEST).clamp(min=1)
    columns, labels = (codes / wide).numpy(), factors.numpy()
    train, test = _rows_that_vary(labels, seed)
    svm = LinearSVC(C=0.01, class_weight="balanced", dual=False, random_state=0)

    def accuracy(code: np.ndarray, values: np.ndarray) -> float:
        return svm.fit(code[train], values[train]).score(code[test], values[test])

    return torch.tensor(
        [[accuracy(code[:, None], values) for values in labels.T] for code in columns.T],
        dtype=torch.float64,
    )


def sap(codes: Tensor, factors: Tensor, predictor: str = "svm", seed: int = 0) -> float:
    """The gap between the two best codes in `sap_matrix`, averaged over the factors (eq:sap).

    With ``"svm"`` it cannot come near 1: any code is right in a share of the rows, 1/2 for a factor
    of two equally frequent values, which leaves a gap of 1/2. Source: Kumar, Sattigeri &
    Balakrishnan (2018), section 3.

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3)).repeat(50, 1)
    >>> rotated = torch.stack([factors.sum(1), factors[:, 0] - factors[:, 1]], 1)
    >>> round(sap(factors.float(), factors), 2), round(sap(rotated.float(), factors), 2)
    (0.44, 0.01)
    """
    matrix = sap_matrix(*_checked(codes, factors, rival=True), predictor, seed)
    best, second = matrix.topk(2, dim=0).values
    return (best - second).mean().item()


def dci(codes: Tensor, factors: Tensor, stages: int = 100, seed: int = 0) -> Dci:
    """Disentanglement, completeness and informativeness of the codes (eq:dci).

    Gradient boosted trees of depth 3 (100 stages, rate 0.1, as in Locatello et al. 2019) predict
    each factor from all codes. Informativeness is their accuracy on held-out rows. A code's
    importance is the loss that its splits save, as a share. They are scikit-learn's histogram
    trees, with at most 254 thresholds a code: 15 seconds on one core for the five factors of
    sprites and 10,000 rows, where the exact trees take four minutes, and nearer to their
    importances than a forest. Of two equal codes the first takes all. Source: Eastwood & Williams
    (2018), section 2.

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3)).repeat(50, 1)
    >>> shares = dci(factors.float(), factors, stages=5)
    >>> [round(share, 3) for share in shares[:3]]
    [1.0, 1.0, 1.0]
    >>> shares.importance.round(decimals=3)  # each latent is all that predicts its factor
    tensor([[1., 0.],
            [0., 1.]], dtype=torch.float64)
    """
    check_whole("stages", stages)
    x, y = (t.numpy() for t in _checked(codes, factors, least_factors=2, rival=True))
    train, test = _rows_that_vary(y, seed)
    shape = {"max_depth": 3, "max_leaf_nodes": None, "min_samples_leaf": 1}
    shape |= {"max_iter": stages, "early_stopping": False, "random_state": seed}
    fitted = [BoostedTrees(**shape).fit(x[train], values[train]) for values in y.T]
    matrix = torch.stack([_importance(trees, x.shape[1]) for trees in fitted], 1)
    accuracy = np.mean([trees.score(x[test], values[test]) for trees, values in zip(fitted, y.T)])
    disentanglement, completeness = _concentration(matrix), _concentration(matrix.T)
    return Dci(disentanglement, completeness, float(accuracy), matrix[: codes.shape[1]])


def beta_vae_score(
    codes: Tensor, factors: Tensor, groups: tuple = GROUPS, per_group: int = 64, seed: int = 0
) -> float:
    """How well a linear classifier names the factor that the pairs of a group share.

    A group is ``per_group`` pairs of rows that agree in one factor, drawn at random; what the
    classifier (logistic regression, C = 1) sees of it is the mean of ``|z - z'|``. Fitted on
    ``groups[0]`` groups, its accuracy on ``groups[1]`` others is the score. Chance, a constant
    code's score, is 1/F, not 0. Source: Higgins et al. (2017), section 3.

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3)).repeat(50, 1)
    >>> beta_vae_score(factors.float(), factors, groups=(100, 100))
    1.0
    """
    _check_groups(groups, per_group)
    codes, factors = _checked(codes, factors, least_factors=2)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(factors.shape[1], (sum(groups),), generator=generator)
    if len(labels[: groups[0]].unique()) < 2:
        raise ValueError(
            f"groups: {groups[0]} to fit are too few, they share one factor; take more"
        )
    differences = codes.new_empty(len(labels), codes.shape[1])
    for k, values in enumerate(factors.T):
        mine = (labels == k).nonzero()[:, 0]
        pairs = codes[_rows_that_agree(values, len(mine) * per_group, 2, generator)]
        differences[mine] = (pairs[:, 0] - pairs[:, 1]).abs().unflatten(0, (-1, per_group)).mean(1)
    (x, x_test), (y, y_test) = (np.split(t.numpy(), [groups[0]]) for t in (differences, labels))
    return float(LogisticRegression(max_iter=1000).fit(x, y).score(x_test, y_test))


def factor_vae_votes(
    codes: Tensor,
    factors: Tensor,
    groups: int = 10_000,
    per_group: int = 64,
    prune: float = 0.05,
    seed: int = 0,
) -> Tensor:
    """Which code varied least in ``groups`` groups of rows that share one factor.

    Least relative to its variance over all rows. Entry (j, k) counts the groups with factor k
    shared in which code j was that code: int64 (latent_dim, F). Codes whose standard deviation
    over all rows is below ``prune`` get no vote; without any other code the matrix is zero.

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3)).repeat(50, 1)
    >>> votes = factor_vae_votes(factors.float(), factors, groups=100)
    >>> votes[0, 1] + votes[1, 0], votes.sum()  # each latent stands for its own factor alone
    (tensor(0), tensor(100))
    """
    _check_groups((groups,), per_group)
    codes, factors = _checked(codes, factors, least_factors=2)
    return _votes(codes, factors, groups, per_group, prune, torch.Generator().manual_seed(seed))


def factor_vae_score(
    codes: Tensor,
    factors: Tensor,
    groups: tuple = GROUPS,
    per_group: int = 64,
    prune: float = 0.05,
    seed: int = 0,
) -> float:
    """How well the code that varies least in a group names, by vote, the factor it shares.

    Each code stands for the factor with the most of its votes among ``groups[0]`` groups (those of
    `factor_vae_votes`); the score is the share of ``groups[1]`` other groups that this names
    rightly. Codes that know nothing score about 1/F; with every code pruned it is 0. Source: Kim &
    Mnih (2018), section 4; pruning by Locatello et al. (2019).

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3)).repeat(50, 1)
    >>> factor_vae_score(factors.float(), factors, groups=(100, 100))
    1.0
    """
    _check_groups(groups, per_group)
    codes, factors = _checked(codes, factors, least_factors=2)
    generator = torch.Generator().manual_seed(seed)
    train, test = (_votes(codes, factors, count, per_group, prune, generator) for count in groups)
    return test.gather(1, train.argmax(1, keepdim=True)).sum().item() / max(1, test.sum().item())


def gaussian_total_correlation(codes: Tensor) -> float:
    """The total correlation of the normal with the covariance of ``codes`` (n, d), in nats.

    It is 1/2 (sum_j log C_jj - log det C), the KL from that normal to the product of its marginals,
    whatever the codes' own distribution; its error is about d (d - 1) / 4n. A constant latent
    shares nothing; it grows without bound as a latent becomes linear in the others. Raises
    ValueError where n is not above d. Source: Locatello et al. (2019).

    >>> codes = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> gaussian_total_correlation(codes) + 0.0
    0.0
    >>> codes[:, 1] += 2 * codes[:, 0]  # correlation 2 / sqrt(5): 1/2 log 5
    >>> round(gaussian_total_correlation(codes), 4)
    0.8047
    """
    if codes.ndim != 2 or len(codes) <= codes.shape[1]:
        raise ValueError(f"codes are (n, latent_dim), n above latent_dim; got {tuple(codes.shape)}")
    codes = codes.detach().cpu().double()
    if not codes.isfinite().all():
        raise ValueError("codes must be finite")
    centred = (codes - codes.mean(0))[:, codes.std(0) > 0]
    # of the correlations, whose determinant is that of C over its diagonal's product
    singular = torch.linalg.svdvals(F.normalize(centred, dim=0, eps=0))
    return -singular.log().sum().item()


def scores(codes: Tensor, factors: Tensor, seed: int = 0) -> dict[str, float]:
    """Every score of this module with its defaults, by name.

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3)).repeat(50, 1)
    >>> for name, score in scores(factors.float(), factors).items():
    ...     print(name, round(score, 2))
    beta_vae 1.0
    factor_vae 1.0
    mig 1.0
    sap 0.44
    dci_disentanglement 1.0
    dci_completeness 1.0
    dci_informativeness 1.0
    """
    shares = dci(codes, factors, seed=seed)
    return {
        "beta_vae": beta_vae_score(codes, factors, seed=seed),
        "factor_vae": factor_vae_score(codes, factors, seed=seed),
        "mig": mig(codes, factors),
        "sap": sap(codes, factors, seed=seed),
        **{f"dci_{name}": share for name, share in zip(Dci._fields, shares[:3])},
    }


def _check_groups(groups: Sequence[int], per_group: int) -> None:
    for count in groups:
        check_whole("groups", count)
    check_whole("per_group", per_group)


def _checked(
    codes: Tensor, factors: Tensor, least_factors: int = 1, rival: bool = False
) -> tuple[Tensor, Tensor]:
    """Float64 codes, and factors whose values are numbered without holes.

    With ``rival`` a constant code stands beside a single one.
    """
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or 0 in codes.shape:
        shapes = f"{tuple(codes.shape)} and {tuple(factors.shape)}"
        raise ValueError(
            f"codes are (n, latent_dim) and factors (n, F), with the same n > 0; these are {shapes}"
        )
    if factors.is_floating_point() or factors.is_complex():
        raise ValueError(f"factors are class indices (integers); these are {factors.dtype}")
    if factors.shape[1] < least_factors:
        what = f"it needs at least {least_factors}, not {factors.shape[1]}"
        raise ValueError(f"this score compares factors: {what}")
    codes = codes.detach().cpu().double()
    if not codes.isfinite().all():
        bad = (~codes.isfinite()).any(1).sum()
        raise ValueError(f"{bad} of the {len(codes)} codes are not finite")
    numbered = torch.stack([values.unique(return_inverse=True)[1] for values in factors.cpu().T], 1)
    for k in (numbered.amax(0) == 0).nonzero()[:, 0].tolist():
        raise ValueError(f"factor {k} has the same value in all rows: no score can speak of it")
    return F.pad(codes, (0, 1)) if rival and codes.shape[1] == 1 else codes, numbered


def bin_of(codes: Tensor, bins: int) -> Tensor:
    """The bin of each code, from the edges of numpy.histogram: int64 (n, latent_dim).

    >>> bin_of(torch.tensor([[0.0], [0.4], [1.0]]), 2)[:, 0]
    tensor([0, 0, 1])
    """
    columns = codes.numpy().T
    edges = [np.linspace(column.min(), column.max(), bins + 1)[:-1] for column in columns]
    return torch.from_numpy(np.stack([np.digitize(*pair) for pair in zip(columns, edges)], 1)) - 1


def _entropy(weights: Tensor) -> Tensor:
    """Entropy in nats of the last dimension's weights, scaled to sum to one; 0 where all are 0."""
    p = weights / weights.sum(-1, keepdim=True).clamp(min=TINY)
    return -torch.xlogy(p, p).sum(-1)


def _importance(trees: BoostedTrees, latents: int) -> Tensor:
    """The loss that each latent's splits save, as a share of all: (latents,)."""
    # the gains of these trees have no public name, and those that have are of slower ones
    stages = getattr(trees, "_predictors", None)
    if stages is None:
        what = "keeps no `_predictors`, from which dci reads the importances"
        raise RuntimeError(f"scikit-learn {sklearn.__version__} {what}; 1.9 does")
    nodes = np.concatenate([tree.nodes for stage in stages for tree in stage])
    splits = nodes[nodes["is_leaf"] == 0]
    saved = np.bincount(splits["feature_idx"], splits["gain"], minlength=latents)
    gains = torch.from_numpy(saved).double()
    return gains / gains.sum().clamp(min=TINY)


def _concentration(importance: Tensor) -> float:
    """1 - entropy of each row over its greatest, averaged by the rows' sums; 0 where all are 0."""
    share = importance.sum(1) / importance.sum().clamp(min=TINY)
    gathered = 1 - _entropy(importance) / np.log(importance.shape[1])
    return (share * gathered.clamp(min=0)).sum().item()  # below 0 it is rounding


def fit_and_test_rows(rows: int, seed: int) -> list[np.ndarray]:
    """Two thirds of the rows to fit and one third to test, at random."""
    return np.split(np.random.default_rng(seed).permutation(rows), [rows - rows // 3])


def _rows_that_vary(factors: np.ndarray, seed: int) -> list[np.ndarray]:
    """`fit_and_test_rows`; ValueError where a factor has one value in all that are to fit."""
    train, test = fit_and_test_rows(len(factors), seed)
    for k, values in enumerate(factors.T):
        if not len(test) or len(np.unique(values[train])) < 2:
            what = f"{len(train)} of these {len(factors)} rows are to fit"
            raise ValueError(f"{what}, and factor {k} has the same value in all: give more rows")
    return [train, test]


def _votes(
    codes: Tensor,
    factors: Tensor,
    groups: int,
    per_group: int,
    prune: float,
    generator: torch.Generator,
) -> Tensor:
    labels = torch.randint(factors.shape[1], (groups,), generator=generator)
    spread = codes.std(0)
    active = (spread >= prune) & (spread > 0)
    votes = torch.zeros(codes.shape[1], factors.shape[1], dtype=torch.int64)
    if not active.any():
        return votes
    relative = codes[:, active] / spread[active]
    for k, values in enumerate(factors.T):
        rows = _rows_that_agree(values, int((labels == k).sum()), per_group, generator)
        least = relative[rows].var(1).argmin(1)
        votes[active, k] = least.bincount(minlength=int(active.sum()))
    return votes


def _rows_that_agree(
    values: Tensor, groups: int, per_group: int, generator: torch.Generator
) -> Tensor:
    """Rows (groups, per_group), drawn with replacement: in each group one value, of a random row.

    Values seen once are left out.
    """
    counts = values.bincount()
    order = values.argsort(stable=True)
    candidates = values[counts[values] > 1]
    if len(candidates) == 0:
        raise ValueError("a factor never has the same value in two rows: no group can share it")
    value = candidates[torch.randint(len(candidates), (groups,), generator=generator)]
    part = torch.rand(groups, per_group, generator=generator, dtype=torch.float64)
    place = (part * counts[value][:, None]).long()
    return order[(counts.cumsum(0) - counts)[value][:, None] + place]
