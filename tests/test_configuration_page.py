"""The configuration reference says what `vaelib.experiments.schema` says: every key, in order, what
it allows, and its default.
"""

import re
from dataclasses import MISSING, fields

import pytest

from notebooks import ROOT
from vaelib.choices import DATASETS, FIRST_SIGMA, SCHEDULES
from vaelib.experiments import config
from vaelib.experiments.config import text_of
from vaelib.experiments.schema import SECTIONS

# what a key is where it is left out, if that depends on others
OF_OTHERS = {
    "path": "a cache folder of yours; needed for `folder`",
    "image_size": "`64`",
    "colour": "`yes` for `folder`, `no` for sprites",
    "binarize": "`yes` with the likelihood `bernoulli`, else `no`",
    "conv_layers": "as many as `conv_channels` has",
    "conv_kernel_sizes": "`(4, 4)` each",
    "conv_strides": "`(2, 2)` each",
    "conv_paddings": "`(1, 1)` each",
    "z_dimension": "**needed**, unless `z_map` is there",
    "z_map": "none",
    "likelihood": "`bernoulli` for grey data sets, `gaussian` for colour and for `folder`",
    "sigma": "`learnt`: from 1.0 with `gaussian`, from 0.1 with `discretised-logistic`",
    "epochs": "**needed**, except for sprites and dsprites",
    "steps": "**needed** for sprites and dsprites",
    "last_learning_rate": "the same as `learning_rate`",
    "beta": "**needed** by `-v B-VAE`, unless the schedule takes none",
}
PAGE = (ROOT / "book" / "configuration.md").read_text()


def rows(section):
    """The cells of the table under a heading."""
    (text,) = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    table = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def test_every_key_is_there_with_what_it_allows_and_its_default():
    for section, kind in SECTIONS.items():
        expected = [
            [
                f"`{f.name}`",
                f.metadata["allowed"],
                "**needed**"
                if f.default is MISSING
                else OF_OTHERS[f.name]
                if f.default is None
                else f"`{text_of(f.default)}`",
            ]
            for f in fields(kind)
        ]
        assert [row[:3] for row in rows(f"[{section}]")] == expected
        assert all(len(row) == 4 and len(row[3]) > 10 for row in rows(f"[{section}]"))


def whole(tmp_path, *lines):
    """A configuration of no more than ``lines`` and what is needed, its defaults filled in."""
    text = {"configuration": [], "architecture": ["z_dimension = 2"], "hyperparameters": []}
    for section, line in lines:
        text[section].append(line)
    path = tmp_path / "least.cfg"
    path.write_text("\n".join(f"[{name}]\n" + "\n".join(keys) for name, keys in text.items()))
    return config.read(path)


def test_the_defaults_that_depend_on_other_keys(tmp_path):
    """They are what a configuration without the key comes to."""
    colours = {True: "yes", False: "no"}
    for name, choice in DATASETS.items():
        length = "steps = 1" if choice.stream else "epochs = 1"
        given = [("configuration", f"dataset = {name}"), ("hyperparameters", length)]
        given += [("configuration", f"path = {tmp_path}")] * (name == "folder")
        made = whole(tmp_path, *given, ("architecture", "conv_channels = [3, 4]"))
        data, net = made.configuration, made.architecture
        assert data.image_size in (None, 64)
        if data.colour is not None:
            said = f"`{colours[data.colour]}` for {'`folder`' if name == 'folder' else name}"
            assert said in OF_OTHERS["colour"]
        bernoulli = net.likelihood == "bernoulli"
        assert bernoulli == (name not in ("folder", "cifar10"))
        assert data.binarize == (None if choice.stream else bernoulli)
        assert net.conv_layers == len(net.conv_channels)
        lists = (net.conv_kernel_sizes, net.conv_strides, net.conv_paddings)
        assert lists == (((4, 4),) * 2, ((2, 2),) * 2, ((1, 1),) * 2)
        for likelihood, first in FIRST_SIGMA.items():
            again = whole(tmp_path, *given, ("architecture", f"likelihood = {likelihood}"))
            assert (again.architecture.sigma, again.configuration.binarize or False) == (
                "learnt",
                False,
            )
            assert f"from {first} with `{likelihood}`" in OF_OTHERS["sigma"]
        for missing in (1, *[2] * (name == "folder")):
            with pytest.raises(config.ConfigError, match=" is missing: "):
                whole(tmp_path, *given[:missing], *given[missing + 1 :])


def test_every_data_set_and_every_schedule_is_there():
    first = " ".join(row[0] for row in rows("Data sets"))
    names = re.findall(r"`([^`]+)`", first)
    assert sorted(names) == sorted(choice.display_name for choice in DATASETS.values())
    listed = {row[0].strip("`") for row in rows("Schedules") if not row[0].startswith("`tc`")}
    assert listed == {" ".join([kind, *numbers]) for kind, numbers in SCHEDULES.items()}
