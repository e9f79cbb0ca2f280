"""Chapter 12: what many runs and a million images cost.

python book/studies/12-your-own.py    at once, from what gallery.py and benchmarks/growth.py have
                                      measured; writes book/results/12-your-own.json
"""

from __future__ import annotations

import gallery
from reporting import ROOT, read_json, write_results

GROWTH = ROOT / "benchmarks" / "results" / "growth.json"
RUNS, IMAGES, EPOCHS = 1000, 1_000_000, 20  # what the page asks the price of
CORES = (2, 16, 128)
TRAINED_ON = {"mnist-z16": 60_000, "cifar10-z128": 50_000}


def run_price(row: dict) -> dict:
    """What one run took on one core, and RUNS of them take on so many, for they share nothing."""
    hours = row["seconds"] / 3600
    return {
        "minutes": row["seconds"] / 60,
        "hardware": row["hardware"],
        "images_per_second": TRAINED_ON[row["name"]]
        * int(row["length"].split()[0])
        / row["seconds"],
        "core_hours": RUNS * hours,
        "hours": {str(cores): RUNS * hours / cores for cores in CORES},
    }


def images_price(point: dict, batch: int) -> dict:
    """What EPOCHS epochs of IMAGES grey images take at a measured step, and the images' bytes."""
    size = point["value"]
    epoch = IMAGES / batch * point["time"] / 1e3
    return {
        "ms_a_step": point["time"],
        "images_per_second": 1e3 * batch / point["time"],
        "epoch_hours": epoch / 3600,
        "training_hours": EPOCHS * epoch / 3600,
        "gigabytes": IMAGES * size**2 / 1e9,
    }


def main() -> None:
    runs = read_json(gallery.TABLE, gallery.SCRIPT)["runs"]
    rows = {row["name"]: row for row in runs if row["network"] == "compact"}
    if missing := TRAINED_ON.keys() - rows.keys():
        names = " ".join(sorted(missing))
        raise SystemExit(f"not measured yet: python {gallery.SCRIPT} --only {names} does it")
    growth = read_json(GROWTH, "benchmarks/growth.py")
    one, two = growth["axes"]["processes"]["points"]
    write_results(
        "12-your-own",
        {
            "setting": {key: growth[key] for key in ("hardware", "torch")}
            | {"command": "python book/studies/12-your-own.py"},
            "runs": RUNS,
            "images": IMAGES,
            "epochs": EPOCHS,
            "run": {name: run_price(rows[name]) for name in TRAINED_ON},
            "size": {
                str(p["value"]): images_price(p, growth["usual"]["batch"])
                for p in growth["axes"]["image size"]["points"]
            },
            "two_processes": one["time"] / two["time"],
        },
    )


if __name__ == "__main__":
    main()
