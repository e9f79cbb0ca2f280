"""The self-tests of chapter 7."""

from __future__ import annotations

import math

import torch

from vaelib.exercises import answered


def exercise_3(information) -> None:
    """``information(mean, log_var, codes)``: the mean over images of log q(z | x) - log q(z).

    ``codes`` has one code an image.
    """
    generator = torch.Generator().manual_seed(3)

    def result_of(mean, log_var):
        codes = mean + torch.exp(log_var / 2) * torch.randn(
            mean.shape, generator=generator, dtype=torch.float64
        )
        value = torch.as_tensor(answered(information(mean, log_var, codes)), dtype=torch.float64)
        assert value.numel() == 1, "Return one number: the mean over the images."
        return value.item(), codes

    same = torch.zeros(50, 2, dtype=torch.float64)
    value, _ = result_of(same + 0.7, same - 0.5)
    assert abs(value) < 1e-9, (
        f"All 50 images have the same cloud, so a code says nothing; you say {value:.3f} nats."
    )
    apart = 100 * torch.arange(50, dtype=torch.float64).unsqueeze(1).expand(50, 2)
    value, _ = result_of(apart, same - 0.5)
    assert abs(value - math.log(50)) < 1e-6, (
        f"The 50 clouds are far apart, so a code names its image; you say {value:.3f} nats. "
        "How many does it take to name one of 50?"
    )
    mean = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    log_var = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    value, codes = result_of(mean, log_var)
    total = 0.0
    for n in range(40):
        densities = [
            math.prod(
                math.exp(
                    -((codes[n, j] - mean[m, j]) ** 2) / (2 * log_var[m, j].exp())
                    - log_var[m, j] / 2
                )
                for j in range(3)
            )
            for m in range(40)
        ]
        total += math.log(densities[n]) - math.log(sum(densities) / 40)
    assert abs(value - total / 40) < 1e-6, (
        "Right for equal clouds and for clouds far apart, but not for clouds of different widths "
        "that overlap."
    )


def exercise_4(standard_error) -> None:
    """``standard_error(log_w)``: sqrt(1/ESS - 1/K) of each row of log-weights (N, K)."""
    generator = torch.Generator().manual_seed(4)
    log_w = 1.5 * torch.randn(6, 200, generator=generator, dtype=torch.float64)
    given = answered(standard_error(log_w))
    assert isinstance(given, torch.Tensor) and given.shape == (6,), (
        "Return one number an image: a tensor of shape (N,)."
    )
    for shift in (-5000.0, 5000.0):
        moved = standard_error(log_w + shift)
        assert moved.isfinite().all(), (
            f"With log-weights around {shift:.0f} your answer is not finite."
        )
        assert torch.allclose(moved, given, rtol=1e-6), (
            "A constant added to all log-weights must change nothing."
        )
    spike = torch.full((1, 4), -1e4, dtype=torch.float64)
    spike[0, 2] = 0
    worst = standard_error(spike).item()
    assert abs(worst - math.sqrt(3 / 4)) < 1e-6, (
        f"One of 4 draws has all the weight: the ESS is 1, but you say {worst:.3f}."
    )
    w = log_w.exp()
    relative = w.var(1, unbiased=False).sqrt() / w.mean(1) / math.sqrt(200)
    assert torch.allclose(given, relative, rtol=1e-6), (
        "It should be the standard deviation of the weights over their mean, over the square root "
        "of K."
    )
    equal = standard_error(torch.full((3, 7), -80.0, dtype=torch.float64))
    assert torch.allclose(equal, torch.zeros(3, dtype=torch.float64), atol=1e-6), (
        "Equal weights have no error. (Does rounding make your root negative?)"
    )


def exercise_5(linear_rates) -> None:
    """``linear_rates(images, sigma)``: each direction's rate under the best linear model.

    The largest comes first.
    """
    generator = torch.Generator().manual_seed(5)
    basis = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))[0]
    scores = torch.linalg.qr(torch.randn(300, 7, generator=generator, dtype=torch.float64) + 1.0)[0]
    scores = scores - scores.mean(0)
    scores = torch.linalg.qr(scores)[0][:, :6] * math.sqrt(
        300
    )  # mean 0, variance 1, uncorrelated, exactly
    variances = torch.tensor([0.09, 4.0, 0.5, 1.0, 0.25, 0.04], dtype=torch.float64)
    images = (3 + scores * variances.sqrt() @ basis.T).reshape(300, 1, 2, 3)
    given = answered(linear_rates(images, 0.5))
    assert isinstance(given, torch.Tensor) and given.shape == (6,), (
        "Return D numbers, one a direction."
    )
    assert (given >= -1e-9).all(), (
        "A rate is never negative: what does a direction below the noise do?"
    )
    expected = (
        torch.tensor([math.log(16), math.log(4), math.log(2), 0, 0, 0], dtype=torch.float64) / 2
    )
    assert torch.allclose(given.double().sort(descending=True).values, expected, atol=0.01), (
        "For directions with variances 4, 1, 0.5, 0.25, 0.09 and 0.04 and sigma = 0.5 you give "
        f"{[round(r, 3) for r in given.tolist()]}. "
        "Is it the variance or its root, sigma or its square? And is the mean image taken out?"
    )
    assert torch.allclose(given.double(), expected, atol=0.01), (
        "The right numbers; give the largest first."
    )
