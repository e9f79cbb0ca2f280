"""What the measurements of speed take from the chapters' studies, which lie in book/studies/."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "book" / "studies"))

from reporting import hardware, machine, markdown, markdown_row, read_json  # noqa: E402

__all__ = ["ROOT", "hardware", "machine", "markdown", "markdown_row", "read_json"]
