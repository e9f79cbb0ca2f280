"""Chapter 5: the VAE of digits, over five seeds; and the front page's picture.

python book/studies/05-vae.py    about 10 minutes on 2 cores; writes book/results/05-vae.json,
                                 book/images/manifold.png, 05-curves.png and
                                 05-samples.png
"""

from __future__ import annotations

import torch
from digit_classifier import Judge
from in_use import IN_USE
from reporting import image_path, machine, over_runs, write_results

import vaelib
from vaelib import ConvSpec, metrics, plots

SEEDS = range(5)
EPOCHS, BATCH_SIZE, LEARNING_RATE = 20, 100, 2e-3
CONVS = (ConvSpec(16, 4, 2, 1), ConvSpec(32, 4, 2, 1))


def trained(data, latent_dim: int, seed: int, epochs: int = EPOCHS, beta: float = 1.0):
    torch.manual_seed(seed)
    model = vaelib.VAE(data.image_shape, latent_dim, convs=CONVS, hidden=256)
    history = vaelib.fit(
        model,
        data,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        beta=beta,
        seed=seed,
    )
    return model, history


def scores(data, latent_dim: int, beta: float = 1.0) -> dict:
    """Of each figure mean and sample standard deviation over the seeds, on the test images."""
    runs = []
    for seed in SEEDS:
        model, history = trained(data, latent_dim, seed, beta=beta)
        terms = metrics.elbo_terms(model, data.test, samples=10)
        runs.append(
            {
                "elbo": terms.elbo.mean().item(),
                "reconstruction": terms.reconstruction.mean().item(),
                "kl": terms.kl.mean().item(),
                "log_likelihood": metrics.log_likelihood(model, data.test, samples=500)
                .mean()
                .item(),
                "used_latents": int((metrics.kl_per_dimension(model, data.test) > IN_USE).sum()),
                "seconds": history.seconds,
            }
        )
        print(latent_dim, beta, seed, runs[-1], flush=True)
    return over_runs(runs)


def draw_samples(n: int = 500, columns: int = 12) -> dict:
    """Draw what the prior of `digits-16` makes, shown in three ways, and its worst.

    Of ``n`` samples the first are shown, and those of which the judge is least sure. Returns the
    shares that the judge can read.
    """
    model, grey = vaelib.load_pretrained("digits-16"), vaelib.load("mnist-5k")
    generator, judge = torch.Generator().manual_seed(0), Judge(grey)
    mean = model.sample(n, generator)
    ways = {
        "mean": mean,
        "draw": torch.bernoulli(mean, generator=generator),
        "threshold": (mean > 0.5).float(),
    }
    worst = judge.probabilities(mean).amax(1).argsort()[:columns]
    rows = [*(images[:columns] for images in ways.values()), mean[worst]]
    labels = (*ways, "least legible")
    figure = plots.image_grid(torch.cat(rows), columns, labels)
    figure.savefig(image_path("05-samples.png"), dpi=110)
    test = vaelib.load("mnist-5k", binarize=True).test
    return {
        "model": "digits-16",
        "n": n,
        "shown": columns,
        "legible": judge.legible(mean),
        "legible_reconstruction": judge.legible(model.reconstruct(test)),
        "legible_test": judge.legible(grey.test),
    }


def main() -> None:
    data = vaelib.load("mnist-5k", binarize=True)
    model, history = trained(data, 2, seed=1, epochs=60)
    results = {
        "setting": {
            "data": "mnist-5k, binarised (train drawn afresh, test drawn once)",
            "epochs": EPOCHS,
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
            "seeds": len(SEEDS),
            **machine(history.device),
        },
        "z16": scores(data, 16),
        "z2": scores(data, 2),
        "z16_beta4": scores(data, 16, beta=4.0),
        "samples": draw_samples(),
    }
    write_results("05-vae", results)
    plots.manifold(model, size=20).savefig(image_path("manifold.png"), dpi=110)
    _, history = trained(data, 16, seed=0)
    plots.learning_curves(history).savefig(image_path("05-curves.png"), dpi=110)


if __name__ == "__main__":
    main()
