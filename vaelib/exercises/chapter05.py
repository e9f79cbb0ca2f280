"""The self-tests of chapter 5."""

from __future__ import annotations

import torch

from vaelib import losses
from vaelib.exercises import answered
from vaelib.layers import ConvSpec
from vaelib.models import VAE


def exercise_2(output_padding) -> None:
    """``output_padding(size, kernel, stride, padding)``: the rows to add (eq:deconv-size).

    Those that a transposed convolution must add.
    """
    for size, kernel, stride, padding in [
        (28, 4, 2, 1),
        (28, 5, 2, 1),
        (7, 3, 3, 0),
        (11, 4, 5, 2),
        (9, 1, 4, 0),
    ]:
        given = answered(output_padding(size, kernel, stride, padding))
        line = torch.zeros(1, 1, size)
        small = torch.nn.functional.conv1d(
            line, torch.zeros(1, 1, kernel), stride=stride, padding=padding
        )
        without = (small.shape[-1] - 1) * stride - 2 * padding + kernel
        assert without + given == size, (
            f"For size {size}, kernel {kernel}, stride {stride}, padding {padding} you add "
            f"{given}, and the line comes back with {without + given} cells instead of {size}."
        )


def exercise_3(kl_per_dimension) -> None:
    """``kl_per_dimension(model, images)``: each latent's mean KL over the images, nats.

    Shape (latent_dim,).
    """
    generator = torch.Generator().manual_seed(5)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = VAE((1, 8, 8), 3, convs=(ConvSpec(4),), hidden=8)
    images = torch.rand(50, 1, 8, 8, generator=generator)
    given = answered(kl_per_dimension(model, images))
    assert isinstance(given, torch.Tensor) and given.shape == (3,), (
        "Return one number a latent: a tensor of shape (latent_dim,)."
    )
    with torch.no_grad():
        mean, log_var = model.encode(images)
    in_all = losses.kl_to_standard_normal(mean, log_var).mean()
    assert torch.isclose(given.sum(), in_all, rtol=1e-4), (
        f"Your numbers add up to {given.sum():.4f} nats; the KL of an image is {in_all:.4f} on "
        "average."
    )
    alone = torch.stack(
        [losses.kl_to_standard_normal(mean[:, [j]], log_var[:, [j]]).mean() for j in range(3)]
    )
    assert torch.allclose(given, alone, rtol=1e-3), (
        "The sum is right, but not how it is shared among the latents."
    )


def exercise_4(interpolate) -> None:
    """``interpolate(model, first, second, steps)``: decoded images between two posterior means.

    Their codes lie on the straight line between the two.
    """
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = VAE((1, 8, 8), 2, convs=(ConvSpec(4),), hidden=8)
        first, second = torch.rand(2, 1, 8, 8)
    frames = answered(interpolate(model, first, second, 5))
    assert isinstance(frames, torch.Tensor) and frames.shape == (5, 1, 8, 8), (
        "Return a tensor (steps, C, H, W)."
    )
    assert frames.min() >= 0 and frames.max() <= 1, (
        "These are logits: an image has values between 0 and 1."
    )
    ends = model.reconstruct(torch.stack([first, second]))
    assert torch.allclose(frames[[0, -1]], ends, atol=1e-5), (
        "The first and last frames should be the two reconstructions, without noise."
    )
    with torch.no_grad():
        codes = model.encode(torch.stack([first, second]))[0]
        middle = model.expected_image(model.decode(codes.mean(0, keepdim=True)))
    assert torch.allclose(frames[[2]], middle, atol=1e-5), (
        "The ends are right, the middle is not: mix the codes, not the images, in equal steps."
    )


def exercise_5(binarise) -> None:
    """``binarise(images, generator)``: black-and-white draws of uint8 images.

    A pixel is white with probability pixel / 255.
    """
    images = (
        torch.tensor([0, 51, 204, 255], dtype=torch.uint8)
        .repeat(20_000, 1)
        .reshape(20_000, 1, 2, 2)
    )
    drawn = answered(binarise(images, torch.Generator().manual_seed(0)))
    assert drawn.shape == images.shape, "One pixel out for each pixel in."
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}, "Every pixel must come out as 0 or 1."
    frequency = drawn.float().mean(0).flatten()
    # five standard errors of a frequency over 20,000 draws
    assert torch.allclose(
        frequency, torch.tensor([0.0, 0.2, 0.8, 1.0]), atol=5 * (0.16 / 20_000) ** 0.5
    ), (
        "Pixels 0, 51, 204 and 255 came out white with frequencies "
        f"{[round(f, 2) for f in frequency.tolist()]}."
    )
    again = binarise(images, torch.Generator().manual_seed(1))
    assert not torch.equal(drawn, again), (
        "Another generator must give another draw: is the generator used?"
    )
    same = binarise(images, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, same), "The same generator seed must give the same draw."


def _small(seed: int) -> tuple[VAE, torch.Tensor, torch.Tensor]:
    """A model with a wide posterior, images of zeros and ones, and noise."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = VAE((1, 8, 8), 3, convs=(ConvSpec(4),), hidden=8)
        torch.nn.init.normal_(model.to_log_var.bias)  # type: ignore[arg-type]  # it has one
        return model, torch.rand(20, 1, 8, 8).round(), torch.randn(20, 3)


def _loss(model: VAE, x: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-likelihood and KL of each image, as vaelib has them."""
    output, mean, log_var, _ = model(x, noise)
    return model.log_likelihood(x, output), losses.kl_to_standard_normal(mean, log_var)


def exercise_7(my_loss) -> None:
    """``my_loss(model, x, noise)``: the loss of a minibatch at this noise (eq:minibatch-elbo)."""
    model, x, noise = _small(7)
    given = answered(my_loss(model, x, noise))
    assert isinstance(given, torch.Tensor) and given.shape == (), (
        "Return one number for the whole minibatch: a tensor without dimensions."
    )
    log_likelihood, kl = _loss(model, x, noise)
    right = losses.negative_elbo(log_likelihood, kl)
    for wrong, hint in (
        (-right.mean(), "This is the ELBO; a loss is descended."),
        (right.sum(), "The images' losses are added up; their mean is wanted."),
        ((kl - log_likelihood / 64).mean(), "Over pixels the sum is wanted, not the mean."),
        ((kl / 3 - log_likelihood).mean(), "Over latents the sum is wanted, not the mean."),
        (-log_likelihood.mean(), "The KL is missing."),
        ((-kl - log_likelihood).mean(), "The KL has the wrong sign."),
    ):
        assert not torch.isclose(given, wrong, rtol=1e-4), hint
    assert torch.isclose(given, right.mean(), rtol=1e-4), (
        f"Yours is {given:.3f} nats, the right one {right.mean():.3f}. Is the noise as wide as the "
        "log-variance says?"
    )
    assert given.requires_grad, "The number is right, but no gradient leads back from it."


def exercise_8(step) -> None:
    """``step(model, optimizer, x, noise)``: a training step; the loss comes back as a number."""
    (model, x, noise), (twin, _, _) = _small(8), _small(8)
    start = [p.detach().clone() for p in model.parameters()]
    ours, theirs = (torch.optim.SGD(m.parameters(), lr=1e-3) for m in (twin, model))
    for number in ("first", "second"):
        given = answered(step(model, theirs, x, noise))
        loss = losses.negative_elbo(*_loss(twin, x, noise)).mean()
        ours.zero_grad()
        loss.backward()
        ours.step()
        pairs = list(zip(model.parameters(), twin.parameters(), strict=True))
        moved = any(not torch.equal(a, b) for a, b in zip(model.parameters(), start, strict=True))
        assert moved, "Not one weight has moved."
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs), (
            f"After the {number} step the weights are not where they should be."
            + (" What is left of the first step's gradient?" if number == "second" else "")
        )
        assert isinstance(given, float) and abs(given - loss.item()) < 1e-3 * loss.item(), (
            "The weights are right; return the loss before the step, as a Python number."
        )
