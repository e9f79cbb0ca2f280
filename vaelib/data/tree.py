"""A tree of pictures on disk: which files there are, and which of them are to test on."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from vaelib.data.images import DataError

READ = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
# pictures too, but not every Pillow reads them: where it doesn't, they are counted and named
SELDOM = {".avif", ".heic", ".heif", ".jp2", ".jxl"}
ROLES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing", "tests", "holdout"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), "validation"),
}
SETS = re.compile(r"[-_ ]?(set|data|images|imgs)$")  # training_set is called so too


class Parts(NamedTuple):
    """Names to train and to test on; how deep the labels' folders lie; those that are neither."""

    train: list[str]
    test: list[str]
    depth: int
    beside: list[str]


def _folders(where: Path) -> list[str]:
    """The folders in a place, none where it can't be read."""
    try:
        return sorted(path.name for path in where.iterdir() if path.is_dir())
    except OSError:
        return []


def picture_files(root: Path) -> list[str]:
    """The pictures under ``root``, relative to it, in the same order on every machine.

    Links are followed. Raises DataError for a folder that can't be read, or that a link leads into
    a second time: its pictures would count twice, and a loop has no end.
    """
    if not root.is_dir():
        near = get_close_matches(root.name, _folders(root.parent), 1)
        hint = f"; did you mean {root.parent / near[0]}?" if near else ""
        raise DataError(f"folder: {root} is not a folder{hint}")

    def refuse(error: OSError) -> None:
        raise DataError(f"folder: {error.filename}: {error.strerror}")

    pictures: list[str] = []
    seen: dict[tuple[int, int], str] = {}
    for where, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        status = os.stat(where)
        first = seen.setdefault((status.st_dev, status.st_ino), where)
        if first != where:
            again = f"is {first} again, through a link: its pictures would count twice"
            raise DataError(f"folder: {where} {again}")
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(where).relative_to(root)
        shown = (name for name in files if not name.startswith("."))
        names = (name for name in shown if Path(name).suffix.lower() in READ | SELDOM)
        pictures += [(inside / name).as_posix() for name in names]
    if not pictures:
        raise DataError(f"folder: no pictures under {root}; looked for {', '.join(sorted(READ))}")
    return sorted(pictures)


def parts(root: Path, names: Sequence[str], test_fraction: float, seed: int) -> Parts:
    """Which of the pictures ``names`` are to train and which to test on.

    Folders train and test directly under ``root``, or train and val, are the split. Else a
    picture's own name says where it belongs, by a hash with ``seed``: about ``test_fraction`` of
    them are to test on, whatever other pictures there are. Raises DataError where folders' names
    leave in doubt what is meant.
    """
    roles = _roles(root, names)
    _refuse_splits_below(root, names)
    held_out = "test" if "test" in roles else "validation"
    if "train" in roles and held_out in roles:
        of = {part: f"{roles[part]}/" for part in ("train", held_out)}
        train = [name for name in names if name.startswith(of["train"])]
        test = [name for name in names if name.startswith(of[held_out])]
        beside = [name for name in names if not name.startswith(tuple(of.values()))]
        return Parts(in_order(train, seed), in_order(test, seed), 1, beside)
    if "train" not in roles and held_out in roles:
        here, put = root / roles[held_out], f"put those to train on into {root / 'train'}"
        what = "has no folder train beside it"
        raise DataError(f"folder: {here} {what}: {put}, or give it a name that is no part of data")
    if "train" in roles and len(_tops(names)) == 1:
        here, put = root / roles["train"], f"put those to test on into {root / 'test'}"
        loose = "" if all("/" in name for name in names) else " but those in no folder"
        raise DataError(
            f"folder: all pictures{loose} are in {here}: give that as the path, or {put}"
        )
    ordered = in_order(names, seed)
    # at least one of each, where there are two
    in_test = sum(_place(name, seed) < test_fraction for name in ordered)
    in_test = max(1, min(in_test, len(ordered) - 1))
    return Parts(ordered[in_test:], ordered[:in_test], 0, [])


def _roles(root: Path, names: Iterable[str]) -> dict[str, str]:
    """The folders directly under ``root`` that are called as a part of data is, by that part."""
    roles: dict[str, str] = {}
    for top in sorted(_tops(names)):
        role = _role(top)
        if role and role in roles:
            both = f"{root / roles[role]} and {top}"
            raise DataError(f"folder: which are the pictures to {role} on: {both}? Leave one")
        if role:
            roles[role] = top
    return roles


def _tops(names: Iterable[str]) -> set[str]:
    """The folders directly under the root that hold pictures."""
    return {name.split("/")[0] for name in names if "/" in name}


def _role(folder: str) -> str | None:
    """The part of data that a folder of that name holds; None of any other."""
    return ROLES.get(SETS.sub("", folder.lower().strip()))


def _refuse_splits_below(root: Path, names: Iterable[str]) -> None:
    """DataError for folders train and test that lie deeper: they would become a random split."""
    found: dict[PurePosixPath, set[str]] = {}
    for folder in {PurePosixPath(name).parent for name in names}:
        for inner in (folder, *folder.parents):
            role = _role(inner.name)
            if role and inner.parent != PurePosixPath("."):
                found.setdefault(inner.parent, set()).add(role)
    for where, roles in sorted(found.items()):
        if len(roles) > 1:
            what = "are a split only directly under the path"
            raise DataError(
                f"folder: the folders {' and '.join(sorted(roles, reverse=True))} in "
                f"{root / where} {what}; give {root / where} as the path, or move them up"
            )


def in_order(names: Iterable[str], seed: int) -> list[str]:
    """The names in an order of their own, the same on every machine and whatever else is there."""
    return sorted(names, key=lambda name: (_place(name, seed), name))


def _place(name: str, seed: int) -> float:
    """A number in [0, 1) that ``name`` and ``seed`` alone decide."""
    text = unicodedata.normalize("NFC", f"{seed}/{name}")  # a Mac writes an é as two letters
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def label(name: str, depth: int) -> str:
    """The folder at that depth in which a picture lies; "" where there is none."""
    inside = name.split("/")[depth:]
    return inside[0] if len(inside) > 1 else ""
