"""The workflows: every action is a commit, every token may do what its job needs, no more."""

import re
import tomllib

import environments
import links
import pytest
import yaml

from notebooks import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# what a job may do beyond reading the repository
MORE = {
    ("deploy.yml", "deploy"): {"pages": "write", "id-token": "write"},
    ("release.yml", "release"): {"contents": "write", "actions": "read"},
}


def jobs(path):
    return yaml.safe_load(path.read_text())["jobs"].items()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_commits_and_tokens_may_only_read(path):
    text = path.read_text()
    for use in re.findall(r"uses: *(.*)", text):
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", use), use
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    for name, job in jobs(path):
        assert job.get("permissions", {}) == MORE.get((path.name, name), {})
        assert job["timeout-minutes"] <= 120
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
            assert "${{" not in step.get("run", "").replace("${{ matrix.cell }}", "")


def test_one_action_is_one_commit_everywhere():
    """Dependabot raises them together."""
    text = "".join(path.read_text() for path in WORKFLOWS)
    pins = set(re.findall(r"uses: *(\S+)@(\S+)", text))
    assert len({action for action, _ in pins}) == len(pins)
    updated = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    assert {one["package-ecosystem"] for one in updated} == {"github-actions", "pip"}


def test_the_targets_that_workflows_call_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    called = {t for path in WORKFLOWS for t in re.findall(r"run: make (\w+)", path.read_text())}
    assert called <= targets and {"matrix", "colab", "kills", "nightly", "fuzz", "book"} <= called


def test_the_oldest_cell_is_the_lower_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (torch,) = (d for d in project["dependencies"] if d.startswith("torch>"))
    assert torch.replace(">=", "==") + ".*" in environments.oldest()
    assert "ipywidgets" in environments.newest() and "torch" in environments.newest()
    for name in environments.TESTS:
        assert (ROOT / "tests" / f"test_{name}.py").exists(), name


def test_every_notebook_is_set_up_from_where_the_colab_run_redirects():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        assert path.read_text().count(environments.REMOTE) == 1, path.name


def test_the_addresses_that_are_checked_are_whole():
    found = links.addresses()
    assert len(found) >= 40
    assert "https://keepachangelog.com/en/1.1.0/" in found
    assert not any("localhost" in address or address.endswith((".", ")")) for address in found)


def test_what_make_test_leaves_out_make_nightly_runs():
    targets = dict(
        re.findall(r"^(\w+): \$\(STAMP\)\n\t(.*)$", (ROOT / "Makefile").read_text(), re.M)
    )
    assert targets["test"] == '@$(PYTEST) --nbval notebooks tests -m "not nightly"'
    assert targets["nightly"] == "@$(PYTEST) tests -m nightly"
