"""The wrong formulas of mutation.toml still find the place that they are planted in."""

import pytest
from mutation import TESTS, VARIANTS

from notebooks import ROOT


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant["why"])
def test_a_planted_text_stands_in_its_module_once(variant):
    text = (ROOT / "vaelib" / f"{variant['module']}.py").read_text()
    assert text.count(variant["before"]) == 1
    assert variant["after"] != variant["before"]


def test_each_module_has_tests_and_each_test_file_is_there():
    assert {variant["module"] for variant in VARIANTS} == set(TESTS)
    for name in {name for names in TESTS.values() for name in names}:
        assert (ROOT / "tests" / name).is_file(), name
