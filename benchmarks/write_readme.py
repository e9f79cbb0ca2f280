"""Put the measured tables into benchmarks/README.md, between `<!-- NAME -->` and `<!-- end -->`.

python benchmarks/write_readme.py    at once, from benchmarks/results/*.json; no number is typed
"""

from __future__ import annotations

import re
from pathlib import Path

from shared import markdown, read_json

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"


def measured(name: str, part: str, how: str = "") -> dict:
    """A part of what another benchmark measured; SystemExit, in one line, where it has not yet.

    ``how`` is the option, if any, with which it measures that part.
    """
    script = f"benchmarks/{name}.py{how}"
    results = read_json(HERE / "results" / f"{name}.json", script)
    if not results.get(part):
        where = f"{part!r} in benchmarks/results/{name}.json"
        raise SystemExit(f"{where} is missing: python {script} makes it")
    return results[part]


def timed(result: dict) -> str:
    """A network's loops."""
    rows = [
        [
            f"**{name}**" if name.startswith("vaelib") else name,
            f"{row['ms_a_step']:.1f}",
            f"**{row['ratio']:.2f}**" if name.startswith("vaelib") else f"{row['ratio']:.2f}",
            f"{row['lowest']:.2f} to {row['highest']:.2f}",
            f"{row['peak_mb']}",
        ]
        for name, row in result["loops"].items()
    ]
    turns = f"{result['repetitions']} turns of {result['steps']} steps of 128 images"
    table = markdown([["loop", "ms a step", "ratio", "lowest to highest", "peak MB"], *rows])
    return f"{table}\n\n{turns}; {result['hardware']}, torch {result['torch']}."


def networks() -> str:
    results = measured("speed", "networks")
    heads = {"convolutional": "Convolutional", "fully connected": "Fully connected"}
    return "\n\n".join(f"**{head}:**\n\n{timed(results[name])}" for name, head in heads.items())


def architectures() -> str:
    """Of each configuration that comes with vaelib: fit, and the fastest of the loops beside it."""
    rows = []
    for name, result in measured("speed", "networks").items():
        loops = {loop: row["ms_a_step"] for loop, row in result["loops"].items()}
        ours = loops["vaelib fp32"]
        others = {loop: ms for loop, ms in loops.items() if not loop.startswith("vaelib")}
        best = min(others, key=others.get)
        ratio = f"{result['loops']['vaelib fp32']['ratio']:.2f}"
        fastest = f"{others[best]:.1f} ({best})"
        rows.append([name, f"{ours:.1f}", ratio, fastest, f"{ours / others[best]:.2f}"])
    head = [
        "network",
        "vaelib fp32, ms a step",
        "to plain",
        "best other loop, ms",
        "vaelib to best",
    ]
    return markdown([head, *rows])


def learnt() -> str:
    rows = []
    for network, result in measured("speed", "learnt", " --learn").items():
        for loop, elbos in result["test_elbo"].items():
            median = result["medians"][loop]
            apart = f"{100 * (median / result['medians']['plain'] - 1):+.2f} %"
            seeds = ", ".join(f"{elbo:.1f}" for elbo in elbos)
            rows.append([network, loop, f"{median:.2f}", apart, seeds])
    return markdown([["network", "loop", "median test ELBO, nats", "to plain", "the seeds"], *rows])


def growth() -> str:
    rows = []
    for axis, result in measured("growth", "axes").items():
        points = result["points"]
        rows.append(
            [
                axis,
                " · ".join(f"{p['value']:,}" for p in points),
                result["unit"],
                " · ".join(f"{p['time']:.3g}" for p in points),
                " · ".join(f"{p['memory_mb']:.0f}" for p in points),
                f"{result['last_exponent']:.2f}",
            ]
        )
    return markdown([["axis", "values", "unit", "time", "memory, MB", "last power"], *rows])


def failed_attempts() -> str:
    return timed(measured("speed", "tried", " --tried")["convolutional"])


TABLES = {
    "speed": networks,
    "architectures": architectures,
    "tried": failed_attempts,
    "learnt": learnt,
    "growth": growth,
}


def fill_tables(text: str) -> str:
    """``text`` with each of its tables made anew."""

    def put(place: re.Match) -> str:
        return f"<!-- {place[1]} -->\n\n{TABLES[place[1]]()}\n\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", put, text, flags=re.S)


def main() -> None:
    README.write_text(fill_tables(README.read_text()))


if __name__ == "__main__":
    main()
