"""Which latents of the study's runs carry something, and what those can say, for chapters 8 to 10.

A posterior mean has no noise: that of a latent that is switched off still follows its image a
little, and a histogram stretches that little over all its bins. So what the means of all latents
are given credit for is counted twice here, of all and of those in use, and what is drawn is what
the rate leaves possible (prop:latent-information).
"""

from __future__ import annotations

import math

from vaelib.data.sprites import FACTOR_SIZES

IN_USE = 0.1  # nats
ENTROPIES = [math.log(size) for size in FACTOR_SIZES]


def used(run: dict) -> list[bool]:
    """Of each latent, whether its mean KL is above IN_USE."""
    return [kl > IN_USE for kl in run["kl_per_dimension"]]


def gaps(information: list[list[float]], speak: list[bool]) -> list[float]:
    """The gap of each factor among the latents that speak: the best one's share less the next's.

    The next one's is 0 where there is no other.
    """
    rows = [row for row, speaks in zip(information, speak) if speaks]
    columns = [[*sorted(column, reverse=True), 0.0, 0.0] for column in zip(*rows)]
    return [column[0] - column[1] for column in columns]


def gaps_in_use(run: dict) -> list[float]:
    return gaps(run["information"], used(run))


def mig_in_use(run: dict) -> float:
    return sum(gaps_in_use(run)) / len(FACTOR_SIZES)


def at_most(information: list[list[float]], rates: list[float]) -> list[list[float]]:
    """The shares of the factors' entropies, none above what the latent's rate can pay for.

    I(z_j; v) <= R_j for a drawn code (prop:latent-information); the mean's share may be more.
    """
    return [
        [min(share, rate / entropy) for share, entropy in zip(row, ENTROPIES)]
        for row, rate in zip(information, rates)
    ]


def shown(run: dict) -> list[list[float]]:
    """What a heatmap of a run shows."""
    return at_most(run["information"], run["kl_per_dimension"])


def gap_limits(run: dict) -> list[float]:
    """Of each factor, a gap that drawn codes cannot exceed: what the dearest latent can pay for."""
    return [min(1.0, max(run["kl_per_dimension"]) / entropy) for entropy in ENTROPIES]


def scored(runs: list[dict]) -> list[dict]:
    """The runs, each with its gaps and MIG of the latents in use beside those of all."""
    return [{**run, "gaps_in_use": gaps_in_use(run), "mig_in_use": mig_in_use(run)} for run in runs]
