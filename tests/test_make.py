"""What a person types: make serve, make notes without LaTeX; and the wheel that Colab installs."""

import ast
import contextlib
import fnmatch
import json
import os
import pty
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from pathlib import Path
from types import SimpleNamespace

import processes
import pytest

import vaelib
from notebooks import ROOT, code_cells

MAKE = shutil.which("make")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "index.html").write_text("<p>the book</p>")
    return tmp_path


def start_server(folder, port):
    command = [sys.executable, ROOT / "book" / "serve.py", folder, str(port)]
    return processes.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_serve_shows_the_book_and_ctrl_c_ends_it_cleanly(folder):
    server = start_server(folder, free_port())
    line = server.stdout.readline()
    address = re.search(r"http://localhost:\d+", line).group()
    assert (
        urllib.request.urlopen(address.replace("localhost", "127.0.0.1")).read()
        == b"<p>the book</p>"
    )
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=10)
    assert (server.returncode, out, err) == (0, "\nStopped.\n", "")


def test_serve_takes_the_next_port_and_says_so_in_one_line(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = start_server(folder, port)
        line, refused = server.stdout.readline(), 0
        while line == f"Port {port + refused} is taken; trying {port + refused + 1}.\n":
            line, refused = server.stdout.readline(), refused + 1
        # one at least, and the next one too where another test has it
        assert refused and f"http://localhost:{port + refused} " in line
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=10)


def test_serve_listens_on_loopback_only(folder):
    server = start_server(folder, free_port())
    port = int(re.search(r":(\d+) ", server.stdout.readline()).group(1))
    listening = (ROOT.__class__("/proc/net/tcp")).read_text()
    addresses = re.findall(rf"([0-9A-F]{{8}}):{port:04X} 00000000:0000 0A", listening)
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=10)
    assert addresses == ["0100007F"]


def test_serve_in_the_background_of_a_script_leaves_ctrl_c_to_others(folder):
    """Started with SIGINT ignored and without a terminal, it says what ends it instead."""
    command = f"trap '' INT; exec {sys.executable} {ROOT / 'book' / 'serve.py'} . {free_port()}"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    server = processes.start(["bash", "-c", command], cwd=folder, **pipes)
    address, pid = re.search(
        r"(http://\S+) \(kill (\d+) ends it", server.stdout.readline()
    ).groups()
    assert int(pid) == server.pid
    server.send_signal(signal.SIGINT)
    assert urllib.request.urlopen(address.replace("localhost", "127.0.0.1")).status == 200
    server.terminate()
    out, err = server.communicate(timeout=10)
    assert (server.returncode, out, err) == (0, "\nStopped.\n", "")


@pytest.mark.skipif(MAKE is None, reason="no make")
@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN])
def test_ctrl_c_in_a_terminal_ends_make_serve_without_an_error(folder, before):
    """A real terminal, a real Ctrl-C: make above the server must not hear it and say `Interrupt`.

    It ends the server even if whoever started make ignores SIGINT.
    """
    serve = f"{sys.executable} {ROOT / 'book' / 'serve.py'} . {free_port()}"
    (folder / "Makefile").write_text(f"serve:\n\t@{serve}\n")
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, before)
        os.chdir(folder)
        os.execv(MAKE, ["make", "serve"])
    try:
        said = b""
        while b"Ctrl-C ends it" not in said:
            said += os.read(terminal, 1000)
        os.write(terminal, b"\x03")
        with contextlib.suppress(OSError):  # Linux reports the closed terminal as an error
            while chunk := os.read(terminal, 1000):
                said += chunk
        _, status = os.waitpid(pid, 0)
    finally:
        processes.end(pid)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0 and b"Stopped." in said, said
    assert b"***" not in said, said


@pytest.mark.skipif(MAKE is None, reason="no make")
def test_notes_without_latex_name_the_packages(tmp_path):
    for tool in ("sh", "bash", "echo", "env"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    run = subprocess.run(
        [MAKE, "-C", ROOT, "notes"], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert run.returncode != 0
    first = run.stderr.splitlines()[0]
    assert (
        first.startswith("make notes needs latexmk: ")
        and "texlive-latex-extra" in first
        and "latexmk" in first
    )


@pytest.mark.skipif(MAKE is None, reason="no make")
def test_make_sets_up_once_and_again_when_a_requirement_changes(tmp_path):
    """A folder of its own, whose .venv has a stamp newer, then older, than what it depends on."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)

    def installs() -> bool:
        command = [MAKE, "-C", tmp_path, "-n", "test"]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "pytest" in run.stdout
        return "pip install" in run.stdout

    assert installs()
    stamp = tmp_path / ".venv" / ".ready"
    stamp.parent.mkdir()
    stamp.touch()
    assert not installs()
    for name in ("requirements.txt", "pyproject.toml"):
        os.utime(stamp)
        future = stamp.stat().st_mtime + 10
        os.utime(tmp_path / name, (future, future))
        assert installs()
        os.utime(stamp, (future + 10, future + 10))
        assert not installs()


def test_the_longest_files_are_there_and_run_first():
    """In their order, before all others; of one file the tests keep theirs."""
    hooks = runpy.run_path(str(ROOT / "conftest.py"))
    files = {p.name for p in [*(ROOT / "tests").glob("test_*.py"), *(ROOT / "notebooks").iterdir()]}
    assert set(hooks["LONGEST"]) < files
    rest = sorted(files - set(hooks["LONGEST"]))
    found = [*rest, *reversed(hooks["LONGEST"])]
    items = [SimpleNamespace(path=Path(name), number=n) for name in found for n in range(2)]
    hooks["pytest_collection_modifyitems"](items)
    wanted = [(name, n) for name in (*hooks["LONGEST"], *rest) for n in range(2)]
    assert [(item.path.name, item.number) for item in items] == wanted


@pytest.mark.skipif(MAKE is None, reason="no make")
def test_clean_keeps_what_takes_hours(tmp_path):
    """What the studies keep in _build stays, and .venv; what `make book` and `notes` wrote goes."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    studies = "".join(p.read_text() for p in (ROOT / "book" / "studies").glob("*.py"))
    hours = set(re.findall(r'"_build" / "([\w-]+)"', studies))
    assert {"gallery", "literature"} <= hours
    kept = [".venv/x", "runs/x", "_build/peers/x", "_build/pythae/x"]
    kept += [f"_build/{name}/x" for name in hours]
    gone = ["_build/html/x", "_build/.doctrees/x", "_build/figures/x", "_build/notes/x", "dist/x"]
    gone += ["vaelib/__pycache__/x", "_build/notes.log"]
    for name in kept + gone:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run([MAKE, "-C", tmp_path, "clean"], check=True, capture_output=True)
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {"Makefile", *kept}


@pytest.mark.skipif(MAKE is None, reason="no make")
def test_lab_opens_for_root_too(tmp_path):
    """Its own command, without a browser; a container's user is root, which JupyterLab refuses."""
    said = subprocess.run([MAKE, "-C", ROOT, "-n", "lab"], capture_output=True, text=True).stdout
    (arguments,) = re.findall(r"/jupyter lab (.*)$", said, re.M)
    command = [Path(sys.executable).parent / "jupyter", "lab", *arguments.split(), "--no-browser"]
    lab = processes.start(
        [*command, f"--port={free_port()}"],
        cwd=ROOT,
        env={**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    lines = iter(lab.stderr.readline, "")
    assert any("http://127.0.0.1:" in line for line in lines)


def test_every_script_that_make_runs_is_there():
    makefile = (ROOT / "Makefile").read_text()
    benches = re.search(
        r"^\t@for script in ([\w ]+); do echo \"(\S+)\$\$script.py\"", makefile, re.M
    )
    scripts = [f"{benches[2]}{name}.py" for name in benches[1].split()]
    scripts += re.findall(r"\$\(BIN\)/python ([\w/]+\.py)", makefile)
    assert len(scripts) >= 8
    assert [script for script in scripts if not (ROOT / script).exists()] == []


@pytest.mark.parametrize("missing", ["speed.json", "tried in speed.json"])
def test_bench_says_in_one_line_what_is_missing(tmp_path, missing):
    """A clone without a measurement: its tables name the command that makes it."""
    for name in ("benchmarks", "book/studies", "vaelib"):
        shutil.copytree(ROOT / name, tmp_path / name)
    key, _, file = missing.rpartition(" in ")
    path = tmp_path / "benchmarks" / "results" / file
    if key:
        results = json.loads(path.read_text())
        del results[key]
        path.write_text(json.dumps(results))
    else:
        path.unlink()
    run = subprocess.run(
        [sys.executable, tmp_path / "benchmarks" / "write_readme.py"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1 and run.stdout == ""
    (line,) = run.stderr.splitlines()
    assert "is missing: python benchmarks/" in line and file in line and key in line


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    import_names = {"pillow": "PIL", "scikit-learn": "sklearn"}
    optional = project["optional-dependencies"].values()
    everything = [*project["dependencies"], *(d for group in optional for d in group)]
    names = (re.match(r"[\w-]+", d).group() for d in everything)
    return {import_names.get(name, name) for name in names}


def imported(source: str) -> set[str]:
    source = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.M)
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"vaelib"}


def test_vaelib_imports_only_what_it_declares():
    for path in (ROOT / "vaelib").rglob("*.py"):
        assert imported(path.read_text()) <= declared(), path.name


def test_notebooks_import_only_what_comes_with_vaelib_or_colab():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        code = "\n".join(cell.source for cell in code_cells(path))
        assert imported(code) <= declared() | {"scipy", "sympy", "google", "IPython"}, path.name


def test_the_wheel_carries_the_whole_package(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(
        ROOT / "vaelib", source / "vaelib", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        tmp_path / "dist",
        source,
    ]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("vaelib-*.whl")
    assert vaelib.__version__ in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    expected = {
        str(p.relative_to(ROOT))
        for p in (ROOT / "vaelib").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert expected <= set(names)
    for pattern in ("py.typed", "pretrained/*.json", "pretrained/*.safetensors", "*/configs/*.cfg"):
        assert fnmatch.filter(names, f"vaelib/{pattern}"), pattern

    # installed alone in a folder, it works from anywhere
    target = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(target)
    code = (
        "import vaelib; print(vaelib.__file__); print(tuple(vaelib.load('mnist-5k').train.shape))"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
    )
    assert run.stdout.splitlines() == [
        str(target / "vaelib" / "__init__.py"),
        "(4500, 1, 28, 28)",
    ], run.stderr
