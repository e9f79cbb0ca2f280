"""The self-tests of chapter 9."""

from __future__ import annotations

import itertools
import math

import torch

from vaelib.exercises import answered


def exercise_3(parts_from_codes) -> None:
    """``parts_from_codes(mean, log_var, codes)``: the three parts, from one code an image.

    Information, total correlation and dimension-wise KL.
    """
    generator = torch.Generator().manual_seed(3)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def result_of(mean, log_var):
        codes = mean + torch.exp(log_var / 2) * noise(*mean.shape)
        given = answered(parts_from_codes(mean, log_var, codes))
        try:
            parts = [float(part) for part in given]
        except TypeError:
            parts = []
        assert len(parts) == 3, (
            "Return three numbers: information, total correlation, dimension-wise KL."
        )
        return parts, codes

    prior = torch.zeros(40, 2, dtype=torch.float64)
    parts, _ = result_of(prior, prior)
    assert max(map(abs, parts)) < 1e-9, (
        "Every image has the prior for its cloud, so all three parts are zero; you say "
        f"{[round(p, 3) for p in parts]}."
    )
    apart = 50 * torch.arange(40, dtype=torch.float64).unsqueeze(1).expand(40, 2)
    (information, correlation, _), _ = result_of(apart, prior - 1)
    assert abs(information - math.log(40)) < 1e-6, (
        "The 40 clouds are far apart, so a code names its image; you say the information is "
        f"{information:.3f} nats."
    )
    assert abs(correlation - math.log(40)) < 1e-6, (
        "With 40 clouds far apart along the diagonal each coordinate names the image, and so the "
        f"other coordinate; you say the total correlation is {correlation:.3f} nats. Is q(z_j) a "
        "mixture of its own, one for each j?"
    )
    mean, log_var = noise(30, 3), noise(30, 3) - 1
    parts, codes = result_of(mean, log_var)
    ratio = 0.5 * (codes**2 - (codes - mean) ** 2 / log_var.exp() - log_var).sum(1).mean().item()
    assert abs(sum(parts) - ratio) < 1e-6, (
        "The three should add up to the mean of log q(z | n) - log p(z) at these codes, "
        f"{ratio:.3f}; yours add up to {sum(parts):.3f}."
    )
    joint = marginals = 0.0
    for z in codes:
        table = torch.exp(-0.5 * (z - mean) ** 2 / log_var.exp()) / torch.sqrt(
            math.tau * log_var.exp()
        )
        joint += table.prod(1).mean().log().item() / 30
        marginals += table.mean(0).log().sum().item() / 30
    assert abs(parts[1] - (joint - marginals)) < 1e-6, (
        "They add up, but the cut between the parts is in the wrong place: which of the two "
        "mixtures stands where?"
    )


def exercise_4(stratified) -> None:
    """``stratified(log_density, N)``: stratified estimates of log q(z_i) from a table (M, M)."""
    generator = torch.Generator().manual_seed(4)
    table = torch.randn(5, 5, generator=generator, dtype=torch.float64) - 2
    given = answered(stratified(table, 5))
    assert isinstance(given, torch.Tensor) and given.shape == (5,), (
        "Return one number a row: a tensor of shape (M,)."
    )
    assert torch.allclose(given, table.exp().mean(1).log(), atol=1e-9), (
        "With M = N the minibatch is the whole data set, and every image should count 1/N."
    )
    densities = (
        torch.rand(7, generator=generator, dtype=torch.float64) + 0.1
    )  # of one z under each of 7 images
    batches = [[0, *others] for others in itertools.combinations(range(1, 7), 2)]
    estimates = [stratified(densities[b].log().expand(3, 3), 7)[0].exp() for b in batches]
    mean, truth = torch.stack(estimates).mean().item(), densities.mean().item()
    assert abs(mean - truth) < 1e-9, (
        "Averaged over all minibatches of 3 from 7 images, your estimate of q(z) is "
        f"{mean / truth:.3f} times q(z). "
        "The image that z came from is in every batch; how often is each of the others?"
    )
    moved = stratified(table - 5000, 5)
    assert moved.isfinite().all(), "With log-densities around -5000 your answer is not finite."
    assert torch.allclose(moved, given - 5000), (
        "A constant taken from all log-densities should be taken from the answer."
    )


def exercise_5(shuffled) -> None:
    """``shuffled(codes, generator)``: each coordinate in an order of its own."""
    codes = torch.arange(600, dtype=torch.float64).reshape(200, 3)
    before = codes.clone()
    given = answered(shuffled(codes, torch.Generator().manual_seed(5)))
    assert isinstance(given, torch.Tensor) and given.shape == codes.shape, (
        "Return a batch of the same shape, (M, d)."
    )
    assert torch.equal(codes, before), "Leave the batch that you were given as it is."
    assert torch.equal(given.sort(0).values, codes), (
        "Each coordinate should keep exactly its values."
    )
    rows = (given - torch.arange(3)) / 3  # the row each value came from
    fixed = [(rows[:, j] == torch.arange(200)).double().mean().item() for j in range(3)]
    assert max(fixed) < 0.1, "At least one coordinate is still in its old order."
    together = [
        (rows[:, i] == rows[:, j]).double().mean().item() for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert max(together) < 0.1, (
        "Two coordinates moved together: they are as dependent as before. Each needs an order of "
        "its own."
    )
    again = shuffled(codes, torch.Generator().manual_seed(5))
    assert torch.equal(given, again), (
        "Draw from the generator, so that the same seed gives the same batch."
    )
    other = shuffled(codes, torch.Generator().manual_seed(6))
    assert not torch.equal(given, other), "Another seed should give another batch."
