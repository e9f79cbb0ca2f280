"""Whether the addresses that the course links to still answer: python tests/links.py.

Each address of README, pages, notebooks and derivations is asked once; a refusal to a robot (401,
403, 405, 429) is an answer.
"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ["*.md", "book/*.md", "book/*.bib", "notebooks/*.ipynb", "latex/derivations/*.tex"]
ADDRESS = re.compile(r"https?://[^\s<>()\[\]{}\"'\\`|]+[^\s<>()\[\]{}\"'\\`|.,;:!?*]")
LOCAL = re.compile(r"https?://(localhost|127\.|www\.w3\.org/)")
ANSWERS = (401, 403, 405, 429)
SECONDS, TRIES = 30, 3


def addresses() -> dict[str, str]:
    """Every address, and a file that has it."""
    found: dict[str, str] = {}
    for pattern in FILES:
        for path in sorted(ROOT.glob(pattern)):
            text = path.read_text()
            dois = [f"https://doi.org/{doi}" for doi in re.findall(r"doi *= *{([^}]+)}", text)]
            for address in [*dois, *ADDRESS.findall(text)]:
                if not LOCAL.match(address):
                    found.setdefault(address, str(path.relative_to(ROOT)))
    return found


def broken(address: str) -> str | None:
    """Why it does not answer; None where it does."""
    reason = ""
    for _ in range(TRIES):
        try:
            request = urllib.request.Request(address, headers={"User-Agent": "Mozilla/5.0"})
            with urllib.request.urlopen(request, timeout=SECONDS):
                return None
        except urllib.error.HTTPError as error:
            if error.code in ANSWERS:
                return None
            reason = f"status {error.code}"
            if error.code < 500:  # of a server in trouble a later try may find it well
                break
        except (OSError, ValueError) as error:
            reason = str(error)
    return reason


def main() -> int:
    found = addresses()
    with ThreadPoolExecutor(8) as many:
        answers = dict(zip(found, many.map(broken, found)))
    for address, reason in answers.items():
        if reason:
            print(f"{found[address]}: {address}: {reason}")
    print(f"{sum(map(bool, answers.values()))} of {len(found)} addresses do not answer")
    return int(any(answers.values()))


if __name__ == "__main__":
    sys.exit(main())
