"""Put the measured tables into benchmarks/README.md, between its comments `<!-- NAME -->` and `<!-- end -->`.

python benchmarks/readme.py    at once; from benchmarks/results/*.json, so that no number in it is typed
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from reporting import markdown

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"


def measured(name: str) -> dict:
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def timed(found: dict) -> str:
    """A network's loops."""
    rows = [
        [
            f"**{name}**" if name.startswith("vaelib") else name,
            f"{row['ms_a_step']:.1f}",
            f"**{row['ratio']:.2f}**" if name.startswith("vaelib") else f"{row['ratio']:.2f}",
            f"{row['lowest']:.2f} to {row['highest']:.2f}",
            f"{row['peak_mb']}",
        ]
        for name, row in found["loops"].items()
    ]
    said = f"{found['repetitions']} turns of {found['steps']} steps of 128 images; {found['hardware']}, torch {found['torch']}."
    return (
        markdown([["loop", "ms a step", "ratio", "lowest to highest", "peak MB"], *rows])
        + f"\n\n{said}"
    )


def networks(names: tuple[str, ...]) -> str:
    found = measured("speed")["networks"]
    return "\n\n".join(
        f"**{name[0].upper()}{name[1:]}:**\n\n{timed(found[name])}" for name in names
    )


def architectures() -> str:
    """Of each configuration that comes with vaelib: fit, and the fastest of the loops beside it."""
    rows = []
    for name, found in measured("speed")["networks"].items():
        loops = {loop: row["ms_a_step"] for loop, row in found["loops"].items()}
        ours = loops["vaelib fp32"]
        others = {loop: ms for loop, ms in loops.items() if not loop.startswith("vaelib")}
        best = min(others, key=others.get)
        ratio = f"{found['loops']['vaelib fp32']['ratio']:.2f}"
        rows.append(
            [
                name,
                f"{ours:.1f}",
                ratio,
                f"{others[best]:.1f} ({best})",
                f"{ours / others[best]:.2f}",
            ]
        )
    return markdown(
        [
            [
                "network",
                "vaelib fp32, ms a step",
                "to plain",
                "best other loop, ms",
                "vaelib to best",
            ],
            *rows,
        ]
    )


def learnt() -> str:
    rows = []
    for network, found in measured("speed")["learnt"].items():
        for loop, elbos in found["test_elbo"].items():
            median = found["medians"][loop]
            apart = f"{100 * (median / found['medians']['plain'] - 1):+.2f} %"
            rows.append(
                [network, loop, f"{median:.2f}", apart, ", ".join(f"{elbo:.1f}" for elbo in elbos)]
            )
    return markdown([["network", "loop", "median test ELBO, nats", "to plain", "the seeds"], *rows])


def growth() -> str:
    rows = []
    for axis, found in measured("growth")["axes"].items():
        points = found["points"]
        rows.append(
            [
                axis,
                " · ".join(f"{p['value']:,}" for p in points),
                found["unit"],
                " · ".join(f"{p['time']:.3g}" for p in points),
                " · ".join(f"{p['memory_mb']:.0f}" for p in points),
                f"{found['last_exponent']:.2f}",
            ]
        )
    return markdown([["axis", "values", "unit", "time", "memory, MB", "last power"], *rows])


TABLES = {
    "speed": lambda: networks(("convolutional", "fully connected")),
    "architectures": architectures,
    "tried": lambda: timed(measured("speed")["tried"]["convolutional"]),
    "learnt": learnt,
    "growth": growth,
}


def filled(text: str) -> str:
    """``text`` with each of its tables made anew."""
    put = lambda found: f"<!-- {found[1]} -->\n\n{TABLES[found[1]]()}\n\n<!-- end -->"
    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", put, text, flags=re.S)


if __name__ == "__main__":
    README.write_text(filled(README.read_text()))
