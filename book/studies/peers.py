"""vaelib's disentanglement scores beside disent's, a public implementation, on the same codes.

python -m venv _build/peers && _build/peers/bin/pip install . disent
_build/peers/bin/python book/studies/peers.py [FILE.npz ...]

About 5 minutes on one core, nearly all of it disent's gradient boosted trees; prints a table and
writes book/results/peers.json. A file holds `codes` (n, latent_dim) and `factors` (n, F), whose
rows are scored as well. Both sides fit and test SAP and DCI on the same rows; each draws the groups
of the FactorVAE score for itself. disent has no beta-VAE score. Its DCI fits exact gradient boosted
trees, vaelib's the histogram kind: `formula` compares the two formulas on vaelib's importances,
`trees` the whole scores.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from reporting import machine, markdown, markdown_row, write_results

from vaelib import disentanglement

try:
    with warnings.catch_warnings(action="ignore"):
        from disent.metrics import _dci as disent_dci
        from disent.metrics import metric_dci, metric_factor_vae, metric_mig, metric_sap
except ImportError:
    disent_dci = None

SIZES, LATENTS = (3, 6, 8, 10, 10), 10
HEADER = ("codes", "score", "vaelib", "disent", "difference")


class Rows:
    """What disent's metrics ask of a data set, answered from codes: an "image" is its code."""

    def __init__(self, codes: np.ndarray, factors: np.ndarray, seed: int = 0):
        self.codes, self.factors, self.next = codes, factors, 0
        self.random = np.random.default_rng(seed)
        self.gt_data, self.num_factors = self, factors.shape[1]

    def sample_factors(self, count: int) -> np.ndarray:
        return self.factors[self.random.integers(len(self.factors), size=count)]

    def dataset_sample_batch_with_factors(self, count: int, mode: str):
        """The next ``count`` rows: the first call gets those to fit, the second those to test."""
        rows = slice(self.next, self.next + count)
        self.next += count
        return self.codes[rows], self.factors[rows]

    def dataset_sample_batch(self, count: int, mode: str) -> np.ndarray:
        return self.codes[self.random.permutation(len(self.codes))[:count]]

    def dataset_batch_from_factors(self, factors: np.ndarray, mode: str) -> np.ndarray:
        """Rows with the value of the one factor that is the same in all of ``factors``."""
        (shared,) = (factors == factors[0]).all(0).nonzero()[0]
        rows = (self.factors[:, shared] == factors[0, shared]).nonzero()[0]
        return self.codes[self.random.choice(rows, len(factors))]


def made_codes(rows: int, seed: int = 0) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Codes made without training, ten latents each, with the factors that they are made from."""
    generator = torch.Generator().manual_seed(seed)
    factors = torch.stack([torch.randint(size, (rows,), generator=generator) for size in SIZES], 1)
    v = factors.double()
    v = (v - v.mean(0)) / v.std(0)
    noise = torch.randn(rows, LATENTS, generator=generator, dtype=torch.float64)
    turned = torch.stack(
        [v[:, 0], v[:, 1] + v[:, 2], v[:, 1] - v[:, 2], v[:, 3] + v[:, 4], v[:, 3] - v[:, 4]], 1
    )
    turned[:, 1:] /= math.sqrt(2)
    mixing = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64)).Q
    angle = 2 * math.pi * factors[:, 4] / SIZES[4]
    curved = [
        (v[:, 0] + 0.3 * v[:, 1]).tanh(),
        v[:, 1] ** 3,
        v[:, 2] * (1 + 0.5 * v[:, 1]),
        v[:, 3].exp(),
    ]
    curved = torch.stack([*curved, angle.cos(), angle.sin() * v[:, 0]], 1)

    def beside(codes: torch.Tensor) -> torch.Tensor:
        return torch.cat([codes, noise[:, codes.shape[1] :]], 1)

    codes = {
        "identity": beside(v),
        "noisy": beside(v + 0.3 * noise[:, :5]),
        "duplicated": torch.cat([v, v], 1) + 0.1 * noise,
        "pairs turned by 45 degrees": beside(turned + 0.1 * noise[:, :5]),
        "all turned": beside(v @ mixing + 0.1 * noise[:, :5]),
        "curved": beside(curved + 0.1 * noise[:, :6]),
        "noise": noise,
    }
    return {name: (made, factors) for name, made in codes.items()}


def from_file(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    with np.load(path) as stored:
        codes, factors = (torch.from_numpy(stored[name]) for name in ("codes", "factors"))
    return codes.double(), factors.long()


def vaelib_scores(codes, factors) -> dict[str, float]:
    shares = disentanglement.dci(codes, factors)
    importance = shares.importance.numpy()
    return {
        "MIG": disentanglement.mig(codes, factors),
        "SAP": disentanglement.sap(codes, factors),
        "SAP, R2": disentanglement.sap(codes, factors, "r2"),
        "FactorVAE": disentanglement.factor_vae_score(codes, factors),
        "D, formula": (shares.disentanglement, disent_dci._disentanglement(importance)),
        "C, formula": (shares.completeness, disent_dci._completeness(importance)),
        "D, trees": shares.disentanglement,
        "C, trees": shares.completeness,
        "I, trees": shares.informativeness,
    }


def disent_scores(codes, factors) -> dict[str, float]:
    train, test = disentanglement.fit_and_test_rows(len(codes), seed=0)
    order = np.concatenate([train, test])

    def score(metric, **options) -> dict:
        rows = Rows(codes.numpy()[order], factors.numpy()[order])
        return metric(rows, lambda codes: codes, **options)

    whole = {"num_train": len(order), "batch_size": len(order)}
    groups = {"num_variance_estimate": len(order), "batch_size": 64}
    halves = {"num_train": len(train), "num_test": len(test), "batch_size": len(order)}
    np.random.seed(0)
    shares = score(metric_dci, **halves)
    of_variances = score(metric_sap, continuous_factors=True, **whole, num_test=0)
    return {
        "MIG": score(metric_mig, **whole)["mig.discrete_score"],
        "SAP": score(metric_sap, **halves)["sap.score"],
        "SAP, R2": of_variances["sap.score"],
        "FactorVAE": score(metric_factor_vae, **groups)["factor_vae.eval_accuracy"],
        "D, trees": shares["dci.disentanglement"],
        "C, trees": shares["dci.completeness"],
        "I, trees": shares["dci.informativeness_test"],
    }


def compared(codes, factors) -> dict:
    start = time.process_time()
    ours = vaelib_scores(codes, factors)
    middle = time.process_time()
    theirs = disent_scores(codes, factors)
    seconds = {"vaelib": middle - start, "disent": time.process_time() - middle}
    pairs = {
        key: value if isinstance(value, tuple) else (value, theirs[key])
        for key, value in ours.items()
    }
    return {
        "seconds": seconds,
        **{key: {"vaelib": float(a), "disent": float(b)} for key, (a, b) in pairs.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE.npz", help="codes and factors to score as well"
    )
    parser.add_argument("--rows", type=int, default=3000, help="rows of the codes made here (3000)")
    args = parser.parse_args()
    if disent_dci is None:
        raise SystemExit("disent is not installed here: make an environment as the first lines say")
    sets = {
        **made_codes(args.rows),
        **{path.stem: from_file(path) for path in args.files},
    }
    made = {"rows": args.rows, "factor_sizes": SIZES, "latents": LATENTS}
    results = {"setting": {**machine("cpu"), **made}}
    print(markdown([list(HEADER)]), flush=True)
    for name, (codes, factors) in sets.items():
        results[name] = compared(codes, factors)
        for key, pair in results[name].items():
            ours, theirs = pair["vaelib"], pair["disent"]
            cells = f"{ours:.4f}", f"{theirs:.4f}", f"{ours - theirs:+.1e}"
            print(markdown_row([name, key, *cells]), flush=True)
    write_results("peers", results)


if __name__ == "__main__":
    main()
