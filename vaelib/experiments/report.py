"""`report.html`: a run on one page that opens anywhere; nothing is fetched."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template

from vaelib.experiments.config import Config
from vaelib.history import History

CAPTIONS = {
    "learning curves": "The ELBO and its two terms while it learned, in nats an image.",
    "reconstructions": "Images that it was not trained on, and what it makes of each.",
    "samples": "Images drawn from the prior.",
    "manifold": "All of its two latents: the first grows to the right, the second upwards, "
    "in steps of equal probability.",
    "latents": "Where it puts the images that it was not trained on; a colour a label.",
    "traversals": "One image, and one latent at a time moved from -2.5 to 2.5; "
    "the latents with the most KL first.",
    "kl map": "Where it keeps what it knows: the KL of each place's latents, in nats.",
}
SLIGHT = 1 / 50  # of all that the test ELBO rose
MOST_LISTED = 50  # latents; a map of patches has thousands
PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; font-weight: normal; vertical-align: top; }
th, td { padding: 0.15rem 1.5rem 0.15rem 0; }
tr + tr > * { border-top: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1.5rem 0 0; }
figure { margin: 1.5rem 0; }
img { max-width: 100%; background: white; border-radius: 4px; }
pre { overflow-x: auto; }
</style>
</head>
<body>
<h1>$title</h1>
<p>$summary</p>
<h2>Figures</h2>
$figures
<!--evaluation-->
<!--end-->
<h2>Pictures</h2>
$pictures
<h2>Settings</h2>
$settings
<h2>Commands</h2>
<p>In the folder <code>$place</code>, where this was made:</p>
<pre>$commands</pre>
</body>
</html>
""")


EVALUATION, END = "<!--evaluation-->", "<!--end-->"


def page(
    folder: Path,
    config: Config,
    results: Mapping,
    pictures: Mapping[str, bytes],
    history: History,
    trained_on: int | None,
) -> str:
    """The page of the run in ``folder``: its configuration, ``results``, PNG ``pictures`` by name.

    ``trained_on`` counts the images of a data set, None those of a stream. The page's commands are
    to be typed where the run was.
    """
    title = folder.name or str(folder)
    unit = "epochs" if config.hyperparameters.epochs else "steps"
    images = f"{trained_on:,} images" if trained_on else "images"
    summary = (
        f"Trained on {images} of {config.configuration.dataset} for {config.length:,} {unit}, in "
        f"{results['seconds']:,} s. The ELBO of {results['images']:,} others, which it has not "
        f"seen, is {results['elbo']:.2f} nats an image: a lower bound of log p(x), so that more "
        f"is better, among models of the same images and likelihood. {course(history)}"
    ).rstrip()
    where = shlex.quote(f"./{folder}" if str(folder).startswith("-") else str(folder))
    templates = ("evaluate {}", "sample {} --number 50 --seed 1", "export {} --html")
    commands = "\n".join(f"vaelib {command.format(where)}" for command in templates)
    return (
        PAGE.substitute(
            title=escape(title),
            summary=escape(summary),
            figures=_table(_figures(results)),
            pictures="\n".join(
                _picture(name, pictures[name]) for name in CAPTIONS if name in pictures
            ),
            settings="\n".join(_settings(config)),
            commands=escape(commands),
            place=escape(str(Path.cwd())),
        )
        .encode("utf-8", "replace")
        .decode()
    )  # a file's name may be no text


def course(history: History) -> str:
    """How the test ELBO went over the epochs, and what would help; of a stream, which has none, "".

    >>> course(History(train={"elbo": [-9.0, -8.0]}, test={"elbo": [-9.0, -8.0]}))
    'The test ELBO was still rising at the end: more epochs would help.'
    """
    test, train = history.test["elbo"], history.train["elbo"]
    if len(test) < 2:
        return ""
    best = max(range(len(test)), key=test.__getitem__)
    slight, lost = SLIGHT * (test[best] - test[0]), test[best] - test[-1]
    if lost > slight:
        fell = (
            f"The test ELBO was highest after epoch {best + 1:,} and {lost:.2f} nats lower at the"
        )
        if train[-1] > train[best]:
            return (
                f"{fell} end, while that of the training images rose: it learned those by heart. "
                "Fewer epochs would help, or more images."
            )
        return (
            f"{fell} end, and the training images' fell too: a growing beta does that, or too "
            "large a learning rate."
        )
    if test[-1] - test[-1 - max(1, len(test) // 5)] > slight:
        return "The test ELBO was still rising at the end: more epochs would help."
    return "The test ELBO hardly rose any more at the end."


def evaluated(text: str, evaluation: Mapping) -> str:
    """The page ``text`` with what `evaluate` came to, in place of what it came to before."""
    before, _, rest = text.partition(EVALUATION)
    _, _, after = rest.partition(END)
    if not after:  # of an earlier version
        return text
    section = f"<h2>Evaluation</h2>\n{_table(readable(evaluation))}\n"
    return f"{before}{EVALUATION}\n{section}{END}{after}"


def readable(figures: Mapping) -> list[tuple[str, str]]:
    """What was measured, by name, each with its error."""
    rows = []
    for name, value in figures.items():
        error = figures.get(f"{name}_error")
        spread = f" \u00b1 {error:.2f}" if error is not None else ""
        if not name.endswith("_error"):
            rows.append((name.replace("_", " "), _shown(value) + spread))
    return rows


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " ".join(f"{v:z.2f}" for v in value)
    return f"{value:z.3f}" if isinstance(value, float) else str(value)


def _listed(kl: list[float]) -> str:
    """The KL of each latent, the dearest first, and of a map's thousands only those."""
    said = ", ".join(f"{value:.2f}" for value in kl[:MOST_LISTED])
    left = len(kl) - MOST_LISTED
    return said if left <= 0 else f"{said}, and {left:,} more, none above {kl[MOST_LISTED]:.2f}"


def _figures(results: Mapping) -> list[tuple[str, str]]:
    kl = sorted(results["kl_per_dimension"], reverse=True)
    error = f" ± {results['elbo_error']:.2f}" if results["elbo_error"] is not None else ""
    return [
        ("ELBO", f"{results['elbo']:.2f}{error} nats an image (± one standard error)"),
        (
            "reconstruction",
            f"{results['reconstruction']:.2f} nats, what the pixels cost: "
            "the ELBO is minus this, minus the KL",
        ),
        ("KL", f"{results['kl']:.2f} nats, what the codes cost"),
        (
            "latents in use",
            f"{results['active_units']} of {len(kl)} (variance of the posterior mean above 0.01)",
        ),
        ("KL of each latent", _listed(kl)),
        *(
            ("bits a pixel value", f"{bits:.3f}, a bound from the ELBO")
            for bits in [results.get("bits_per_dimension")]
            if bits is not None
        ),
        ("steps", f"{results['steps']:,}"),
        ("speed", f"{results['images_per_second']:,} images/s on {results['device']}"),
        ("made with", f"vaelib {results['vaelib']}, torch {results['torch']}"),
    ]


def _settings(config: Config) -> list[str]:
    rows: dict[str, list[tuple[str, str]]] = {}
    for section, key, value in config.items():
        rows.setdefault(section, []).append((key, value))
    return [f"<h3>{section}</h3>\n{_table(pairs)}" for section, pairs in rows.items()]


def _table(rows: list[tuple[str, str]]) -> str:
    cells = (
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in rows
    )
    return "<table>\n" + "\n".join(cells) + "\n</table>"


def _picture(name: str, png: bytes) -> str:
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    caption = escape(CAPTIONS[name])
    image = f'<img alt="{escape(name)}" src="{source}">'
    return f"<figure>\n<figcaption>{caption}</figcaption>\n{image}\n</figure>"
