"""Chapter 4: training with and without the reparameterisation, over three seeds.

python book/studies/04-reparameterization.py    about 5 minutes on 2 cores

Writes book/results/04-reparameterization.json and book/images/04-*.png: without-the-trick, and, of
formulas and a model that ships with vaelib, gradient-variance and one-draw.
"""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from reporting import image_path, machine, save_picture, spread, write_results
from torch.distributions import Normal

import vaelib
from vaelib import ConvSpec, losses, metrics, plots

SEEDS = range(3)
EPOCHS, BATCH_SIZE, LEARNING_RATE, LATENTS = 10, 100, 2e-3, 16
IMAGES, DRAWS = 50, 1000  # for the variance of the encoder's gradient
WAYS = {
    "pathwise": ("reparameterised", plots.COLOURS[5], "-"),
    "score_baseline": ("score function, baseline", plots.COLOURS[3], "-."),
    "score": ("score function", plots.COLOURS[1], ":"),
    "detached": ("z detached", plots.COLOURS[6], "--"),
    "half": ("only the mean's path", plots.COLOURS[7], "-"),
}


def surrogate(model, x, generator, way: str):
    """A loss whose gradient estimates that of the negative ELBO the given way.

    For detached and half the estimate is wrong.
    """
    mean, log_var = model.encode(x)
    sigma = torch.exp(log_var / 2)
    noise = torch.empty_like(mean).normal_(generator=generator)
    z = mean + (sigma.detach() if way == "half" else sigma) * noise
    if way not in ("pathwise", "half"):
        z = z.detach()
    log_likelihood = model.log_likelihood(x, model.decode(z))
    gain = log_likelihood
    if way.startswith("score"):
        others = (log_likelihood.sum() - log_likelihood) / (len(x) - 1)
        centred = log_likelihood - others if way == "score_baseline" else log_likelihood
        gain = log_likelihood + centred.detach() * Normal(mean, sigma).log_prob(z).sum(1)
    return (losses.kl_to_standard_normal(mean, log_var) - gain).mean()


def trained(data, way: str, seed: int):
    torch.manual_seed(seed)
    model = vaelib.VAE(data.image_shape, LATENTS, convs=(ConvSpec(16), ConvSpec(32)), hidden=256)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    generator = torch.Generator().manual_seed(seed)
    curve = []
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(data.train), generator=generator).split(BATCH_SIZE):
            loss = surrogate(
                model, vaelib.data.draw_binary(data.train[batch], generator), generator, way
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        terms = metrics.elbo_terms(model, data.test, samples=10)
        curve.append({"elbo": terms.elbo.mean().item(), "kl": terms.kl.mean().item()})
    curve[-1]["reconstruction"] = terms.reconstruction.mean().item()
    print(way, seed, curve[-1], flush=True)
    return model, curve


def gradient_draws(model, image, generator, draws: int = DRAWS) -> dict[str, torch.Tensor]:
    """Draws of the gradient of log p(x | z) in the encoder's mean, (draws, d), by estimator."""
    with torch.no_grad():
        mean, log_var = model.encode(image)
    noise = torch.randn(draws, mean.shape[1], generator=generator)
    z = (mean + torch.exp(log_var / 2) * noise).requires_grad_()
    f = model.log_likelihood(image.expand(draws, -1, -1, -1), model.decode(z))
    (slope,) = torch.autograd.grad(f.sum(), z)
    f, score = f.detach().unsqueeze(1), noise / torch.exp(log_var / 2)
    return {"pathwise": slope, "score": f * score, "score_baseline": (f - f.mean()) * score}


def gradient_variances(model, images) -> dict[str, float]:
    """The variance of one of the `gradient_draws`, summed over latents, averaged over images."""
    generator = torch.Generator().manual_seed(0)
    totals = {"pathwise": 0.0, "score": 0.0, "score_baseline": 0.0}
    for image in images.split(1):
        for name, values in gradient_draws(model, image, generator).items():
            totals[name] += values.double().var(0).sum().item() / len(images)
    return totals


def constant_decoder(data) -> float:
    """Reconstruction of the test images by the training images' mean.

    It is the best that a decoder can do which ignores z.
    """
    share = (data.train.double() / 255).mean(0).clamp(1e-3, 1 - 1e-3)
    return (
        -losses.bernoulli_log_likelihood(data.test / 255, share.logit().expand_as(data.test))
        .mean()
        .item()
    )


@torch.no_grad()
def decoded_draws(model, images):
    """Each image encoded, one z drawn, and decoded: what the decoder was trained on.

    At the posterior mean it was not.
    """
    return model.expected_image(model(images, torch.Generator().manual_seed(0)).output)


def draw_training(curves, models, data) -> None:
    figure = Figure(figsize=(9.2, 6.2), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.05, 1))
    for axis, (term, title) in zip(
        upper.subplots(1, 2), {"elbo": "ELBO on the test digits", "kl": "KL"}.items()
    ):
        for way, curve in curves.items():
            label, colour, style = WAYS[way]
            values = [epoch[term] for epoch in curve]
            axis.plot(range(1, EPOCHS + 1), values, style, color=colour, label=label, linewidth=2)
        axis.set(
            title=title, xlabel="epoch", ylabel="nats per image", xticks=range(2, EPOCHS + 1, 2)
        )
        axis.grid(alpha=0.3)
    upper.axes[1].legend(frameon=False, fontsize=9)
    images = data.test[:12]
    rows = {"image": plots.as_float(images)} | {
        WAYS[way][0]: decoded_draws(models[way], images) for way in curves
    }
    axes = lower.subplots(len(rows), 12, gridspec_kw=dict(wspace=0.02, hspace=0.02))
    for line, (label, pictures) in zip(axes, rows.items()):
        line[0].text(
            -0.15, 0.5, label, transform=line[0].transAxes, ha="right", va="center", fontsize=10
        )
        for axis, picture in zip(line, pictures):
            axis.set_axis_off()
            axis.imshow(picture[0], cmap="gray_r", vmin=0, vmax=1)
    figure.savefig(image_path("04-without-the-trick.png"), dpi=130)


def draw_variances() -> None:
    """The three worked variances of the derivation.

    f = z^2 against mu, |z|^2 against d, sin(omega z) against omega.
    """
    figure = Figure(figsize=(9.2, 3.1), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    (path, base, score) = (WAYS[way][1:] for way in ("pathwise", "score_baseline", "score"))
    mu = torch.linspace(0, 4, 200)
    left.semilogy(mu, mu**4 + 14 * mu**2 + 15, score[1], color=score[0], label="score function")
    left.semilogy(mu, 8 * mu**2 + 6, base[1], color=base[0], label="with its best baseline")
    left.semilogy(mu, torch.full_like(mu, 4), path[1], color=path[0], label="pathwise")
    left.set(
        title=r"$f(z)=z^2$",
        xlabel=r"mean $\mu$ of $q$",
        ylabel="variance of one draw",
        ylim=(2, 2000),
    )
    left.legend(frameon=False, fontsize=9, loc="upper left")
    d = torch.arange(1, 101)
    middle.loglog(d, (d + 2) * (d + 4), score[1], color=score[0])
    middle.loglog(d, torch.full_like(d, 4), path[1], color=path[0])
    middle.set(title=r"$f(z)=\|z\|^2$ at $\mu=0$", xlabel="dimension $d$ of $z$")
    w = torch.linspace(0.05, 4, 300)
    right.plot(
        w,
        0.5 * (1 - (1 - 4 * w**2) * torch.exp(-2 * w**2)) - w**2 * torch.exp(-(w**2)),
        score[1],
        color=score[0],
    )
    right.plot(
        w, w**2 * (0.5 * (1 + torch.exp(-2 * w**2)) - torch.exp(-(w**2))), path[1], color=path[0]
    )
    right.set(title=r"$f(z)=\sin(\omega z)$ at $\mu=0$", xlabel=r"frequency $\omega$", ylim=(0, 4))
    for axis in figure.axes:
        axis.grid(alpha=0.3)
    figure.savefig(image_path("04-gradient-variance.png"), dpi=130)


def one_draw(data) -> Figure:
    """The `gradient_draws` of one test digit, in two latents, each estimator at its own scale.

    A square in a panel is the next panel's.
    """
    image = data.test[1:2].float() / 255
    model = vaelib.load_pretrained("digits-16")
    draws = gradient_draws(model, image, torch.Generator().manual_seed(0), draws=600)
    slopes = draws["pathwise"]
    pair = (slopes.mean(0).abs() / slopes.std(0)).topk(2).indices
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    reaches = {"score": 400, "score_baseline": 75, "pathwise": 15}
    titles = ("score function", "with a baseline", "pathwise")
    for axis, title, (way, reach) in zip(figure.subplots(1, 3), titles, reaches.items()):
        axis.axhline(0, color="#cccccc", lw=0.8, zorder=0)
        axis.axvline(0, color="#cccccc", lw=0.8, zorder=0)
        axis.plot(*draws[way][:, pair].T, "o", ms=3, color=WAYS[way][1], alpha=0.5, mew=0)
        for inner in [r for r in reaches.values() if r < reach]:
            square = dict(xy=(-inner, -inner), width=2 * inner, height=2 * inner)
            axis.add_patch(Rectangle(**square, fill=False, ec="black", lw=1))
        axis.set(title=title, aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach))
        axis.set(xlabel=rf"gradient in $\mu_{{{pair[0] + 1}}}$")
    arrow = dict(arrowstyle="-|>", color="black", lw=1.8, shrinkA=0, shrinkB=0)
    axis.annotate("", slopes[:, pair].mean(0), (0, 0), arrowprops=arrow)
    figure.axes[0].set_ylabel(rf"gradient in $\mu_{{{pair[1] + 1}}}$")
    return figure


def main() -> None:
    draw_variances()
    data = vaelib.load("mnist-5k", binarize=True)
    save_picture(one_draw(data), "04-one-draw")
    runs = {way: [trained(data, way, seed) for seed in SEEDS] for way in WAYS}
    results = {
        "setting": {
            "data": "mnist-5k, binarised (train drawn afresh, test drawn once)",
            "latents": LATENTS,
            "epochs": EPOCHS,
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
            "seeds": len(SEEDS),
            "variance_images": IMAGES,
            "variance_draws": DRAWS,
            **machine("cpu"),
        },
        "constant_decoder": constant_decoder(data),
    }
    for way in WAYS:
        ends = [curve[-1] for _, curve in runs[way]]
        results[way] = {
            term: spread([end[term] for end in ends]) for term in ("elbo", "reconstruction", "kl")
        }
    variances = [
        gradient_variances(model, data.test[:IMAGES].float() / 255) for model, _ in runs["pathwise"]
    ]
    results["variance"] = {name: spread([v[name] for v in variances]) for name in variances[0]}
    results["ratio"] = {
        name: spread([v[name] / v["pathwise"] for v in variances])
        for name in ("score", "score_baseline")
    }
    write_results("04-reparameterization", results)
    shown = [way for way in WAYS if way != "half"]
    draw_training(
        {way: runs[way][0][1] for way in shown}, {way: runs[way][0][0] for way in shown}, data
    )


if __name__ == "__main__":
    main()
