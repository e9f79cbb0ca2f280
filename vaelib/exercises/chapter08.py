"""The self-tests of chapter 8."""

from __future__ import annotations

import math

import torch

from vaelib.exercises import answered


def exercise_3(best_code_costs) -> None:
    """``best_code_costs(log_likelihood, prior, beta)``: the best encoder's rate and distortion.

    The code has K values.
    """
    f64 = torch.float64

    def result_of(log_likelihood, prior, beta):
        given = answered(best_code_costs(log_likelihood, prior, beta))
        assert isinstance(given, (tuple, list, torch.Tensor)) and len(given) == 2, (
            "Return two numbers, rate and distortion."
        )
        rate, distortion = (torch.as_tensor(value, dtype=f64) for value in given)
        assert rate.numel() == distortion.numel() == 1, (
            "Rate and distortion are one number each: average over the images."
        )
        return rate.item(), distortion.item()

    generator = torch.Generator().manual_seed(3)
    prior = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=f64)
    same = torch.full((3, 4), -7.0, dtype=f64)
    rate, distortion = result_of(same, prior, 2.0)
    assert abs(rate) < 1e-9, (
        "Every value of the code explains the images alike, so none is worth a nat; you pay "
        f"{rate:.3f}."
    )
    assert abs(distortion - 7) < 1e-9, (
        f"With log p(x | z) = -7 everywhere the distortion is 7, but you say {distortion:.3f}."
    )
    name = torch.tensor([[-2.0, -5000.0], [-5000.0, -4.0]], dtype=f64)
    rate, distortion = result_of(name, torch.tensor([0.25, 0.75], dtype=f64), 1.0)
    assert math.isfinite(rate) and math.isfinite(distortion), (
        "With entries of -5000 your answer is not finite: use logarithms."
    )
    expected = -(math.log(0.25) + math.log(0.75)) / 2
    assert abs(rate - expected) < 1e-6 and abs(distortion - 3) < 1e-6, (
        f"Two images, each with one value of the code that explains it: you say rate {rate:.3f} "
        f"and distortion {distortion:.3f}. "
        "What does a value cost that the prior rarely takes? Is it the mean over the images?"
    )
    log_likelihood = -20 * torch.rand(5, 4, generator=generator, dtype=f64)
    for beta in (0.5, 1.0, 3.0):
        rate, distortion = result_of(log_likelihood, prior, beta)
        reached = distortion + beta * rate
        for noise in (0.0, 0.01, 0.1, 1.0):
            logits = (
                prior.log()
                + log_likelihood / beta
                + noise * torch.randn(5, 4, generator=generator, dtype=f64)
            )
            q = logits.softmax(1)
            trial = (q * (beta * (q / prior).log() - log_likelihood)).sum(1).mean().item()
            assert reached < trial + 1e-6, (
                f"At beta = {beta} you reach D + beta R = {reached:.3f}; another encoder reaches "
                f"{trial:.3f}."
            )
        assert reached > trial_minimum(log_likelihood, prior, beta) - 1e-6, (
            f"At beta = {beta} your rate and distortion are lower than any encoder can have."
        )
        q = (prior.log() + log_likelihood / beta).softmax(1)
        assert abs(rate - (q * (q / prior).log()).sum(1).mean().item()) < 1e-6, (
            f"D + beta R is right at beta = {beta}, but it is not split into rate and distortion "
            "as it should be."
        )


def trial_minimum(log_likelihood, prior, beta) -> float:
    """The least D + beta R over all encoders: minus beta log Z, averaged."""
    return -beta * (prior.log() + log_likelihood / beta).logsumexp(1).mean().item()


def exercise_4(price_of) -> None:
    """``price_of(rate_at, budget)``: the beta at which the falling function rate_at is budget."""
    betas = []

    def counted(rate_at):
        def counting(beta):
            assert isinstance(beta, (int, float)) or getattr(beta, "numel", lambda: 0)() == 1, (
                "Ask rate_at for one beta at a time."
            )
            betas.append(float(beta))
            return rate_at(float(beta))

        return counting

    def given(rate_at, budget):
        value = answered(price_of(counted(rate_at), budget))
        assert value is not None and torch.as_tensor(value).numel() == 1, (
            "Return one number, the price."
        )
        return float(value)

    for true in (2.0, 0.03, 4000.0, 2e-6, 5e5):
        answer = given(lambda beta: 3 / beta, 3 / true)
        assert answer > 0 and abs(answer / true - 1) < 2e-4, (
            f"For rates 3 / beta and a budget of {3 / true:g} nats you say {answer:g}. "
            "The price may be anywhere between a millionth and a million: search its logarithm."
        )

    def steps(beta: float) -> float:
        return 10 * math.exp(-(beta**0.5))

    for true in (0.5, 9.0):
        answer = given(steps, steps(true))
        assert abs(answer / true - 1) < 2e-4, (
            "Right for rates 3 / beta. For rates 10 exp(-sqrt(beta)) and a budget of "
            f"{steps(true):.4f} nats you say {answer:.5g}."
        )
    assert len(betas) < 7 * 5000, (
        "Right, but you ask for thousands of rates. Each costs a training run: halve an interval "
        "instead."
    )


def exercise_5(spend) -> None:
    """``spend(variances, capacity)``: the rates of the linear model's directions.

    They add up to the capacity.
    """
    f64 = torch.float64

    def result_of(variances, capacity):
        rates = answered(spend(torch.tensor(variances, dtype=f64), capacity))
        assert isinstance(rates, torch.Tensor) and rates.shape == (len(variances),), (
            "Return one rate a direction, a tensor as long as `variances`."
        )
        rates = rates.double()
        assert (rates > -1e-6).all(), (
            "A rate is never negative: what does a direction get that is not worth its price?"
        )
        assert abs(rates.sum().item() - capacity) < 1e-3 * capacity, (
            f"The rates add up to {rates.sum():.4f} nats, the capacity is {capacity:.4f}."
        )
        return rates

    half = 0.5 * math.log(2)
    rates = result_of([4.0, 2.0, 1.0], half / 2)
    assert rates[0] > 0 and rates[1:].abs().max() < 1e-3, (
        "With variances 4, 2, 1 and very few nats, is the second direction worth anything yet?"
    )
    rates = result_of([1.0, 4.0, 2.0], 1.0)
    assert rates[1] > rates[2] > rates[0] - 1e-6, (
        "Give the rates in the order of `variances`; more variance, more rate."
    )
    used = rates > 1e-3
    left = torch.tensor([1.0, 4.0, 2.0], dtype=f64) * torch.exp(-2 * rates)
    assert left[used].max() - left[used].min() < 1e-2, (
        "At a common price every direction that is used has the same squared error left, variance "
        f"times exp(-2 rate). Yours have {[round(v, 3) for v in left[used].tolist()]}."
    )
    variances = [0.02, 9.0, 0.5, 0.5, 3.0, 1e-4]
    for capacity in (0.3, 2.0, 12.0):
        rates = result_of(variances, capacity)
        error = torch.tensor(variances, dtype=f64) * torch.exp(-2 * rates)
        water = error[rates > 1e-3].max()
        assert (error < water + 1e-2 * water).all(), (
            "A direction that you leave out has more variance than the price asks for."
        )
