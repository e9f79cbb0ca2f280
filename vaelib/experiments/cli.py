"""The command line, `vaelib`: it reads what was typed and calls the modules beside it."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import os
import shlex
import sys
import warnings
from pathlib import Path

from vaelib import __version__
from vaelib.experiments import config
from vaelib.experiments.arguments import (
    Parser,
    device_option,
    grid,
    path_option,
    run_option,
    variation,
    whole_from_0,
    whole_number,
)
from vaelib.experiments.config import ConfigError
from vaelib.experiments.signals import stoppable

ABOUT = "Trains a variational autoencoder from a configuration file, and looks at what it learned."
EXAMPLES = {
    "-c mnist-5k -v VAE": "train, about half a minute; open runs/mnist-5k-vae/report.html",
    "-c my.cfg -v B-VAE": "train with the beta and the schedule of your own file",
    "-c my.cfg -v B-VAE --resume": "go on with that run after it was stopped",
    "evaluate RUN": "measure it: ELBO, log p(x), latents in use",
    "sample RUN": "draw images from it",
    "export RUN --html": "its weights, and a page in which it is alive, to take away or to send",
    "sweep FILE --grid hyperparameters.beta=1,2,4 --seeds 5": "many runs, one table",
}
EPILOG = """A run's folder holds config.cfg as used, metrics.jsonl (a line an epoch), checkpoint.pt,
model.safetensors, pictures, results.json, and report.html, which shows it all. Exit status: 0; 1
when training failed; 2 for a mistake in what was asked, in one line; 130 when stopped by Ctrl-C,
143 by SIGTERM, 129 by SIGHUP, after which --resume goes on, to the same weights as if it had never
stopped. Of the checkpoints the last two are kept, for when one is damaged."""


UNREAD = 128 + 13  # SIGPIPE
OUT_OF_MEMORY = "out of memory; take a smaller batch_size or image_size, or fewer images"


def main(argv: list[str] | None = None) -> int:
    """Do what ``argv``, or the command line, asks for; the exit status.

    Whatever goes wrong is said in one line on stderr, but that nobody reads stdout any more, as
    behind `| head`: that ends the program as SIGPIPE would.
    """
    status = _done(sys.argv[1:] if argv is None else argv)
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError as error:
        # Python would try again as it ends, and say so in lines of its own
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status or _failed(error)
    return status


def _done(argv: list[str]) -> int:
    """The exit status of what ``argv`` asks for, done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack the letters of a path
            stream.reconfigure(errors="replace")
    try:
        with stoppable(), warnings.catch_warnings():
            warnings.showwarning = _warn  # type: ignore[assignment]  # in one line
            return _command(argv)
    except SystemExit as end:  # argparse's, after --help
        return int(end.code or 0)
    except KeyboardInterrupt as stop:
        _complain("; ".join(["stopped", *map(str, stop.args)]))
        return getattr(stop, "status", 130)
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> int:
    """The exit status of an error, which is told in a line; vaelib's own mistake is raised."""
    if isinstance(error, BrokenPipeError):
        return UNREAD
    if (status := _status(error)) is None:
        raise error
    _complain(OUT_OF_MEMORY if _is_of_memory(error) else _line(error))
    return status


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _status(error: Exception) -> int | None:
    """The exit status of an error that a person can do something about.

    None of one that is vaelib's own mistake.
    """
    if isinstance(error, (ConfigError, OSError)):
        return 2
    from torch import OutOfMemoryError

    from vaelib import CheckpointError, DataError, TrainingError
    from vaelib.experiments.workers import JobError

    if isinstance(error, (CheckpointError, DataError)):
        return 2
    failed = isinstance(error, (TrainingError, JobError, OutOfMemoryError))
    return 1 if failed or _is_of_memory(error) else None


def _is_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)


def _leads() -> bool:
    return (
        os.environ.get("RANK", "0") == "0"
    )  # torchrun numbers its processes; the others are silent


def _complain(line: str) -> None:
    if _leads():
        with contextlib.suppress(OSError):  # the terminal may be gone: SIGHUP says so
            print(f"vaelib: {' '.join(line.split())}", file=sys.stderr)


def _warn(message: Warning | str, *where: object) -> None:
    _complain(str(message))


def _log(line: str) -> None:
    if _leads():
        print(line, flush=True)


def _program() -> str:
    return "python -m vaelib" if Path(sys.argv[0]).name == "__main__.py" else "vaelib"


def parsers(program: str) -> dict[str, Parser]:
    """What reads the command line: of each command, and of training, which has no name ("")."""
    lines = [f"  {program} {command}\n      {what}" for command, what in EXAMPLES.items()]
    own = f"FILE is yours, or the name of one that comes with vaelib: {', '.join(config.names())}."
    more = f"{program} COMMAND --help says more of a command."
    usage = (
        "%(prog)s -c FILE -v {VAE,B-VAE} [options]\n       %(prog)s {"
        + ",".join(COMMANDS)
        + "} ..."
    )
    about = "\n".join([ABOUT, "", *lines, "", own, more])
    found = {"": Parser(prog=program, usage=usage, description=about, epilog=EPILOG)}
    _train_options(found[""])
    for command, (about, options, _) in COMMANDS.items():
        found[command] = Parser(prog=f"{program} {command}", description=about)
        options(found[command])
    return found


def _command(argv: list[str]) -> int:
    known = parsers(_program())
    if argv and argv[0] in COMMANDS:
        action = COMMANDS[argv[0]][-1]
        return action(_with_threads(known[argv[0]].parse_args(argv[1:])))
    if argv and not argv[0].startswith("-"):
        near = difflib.get_close_matches(argv[0], COMMANDS, 1)
        raise ConfigError(
            f"unknown command {argv[0]!r}; "
            + (f"did you mean {near[0]}? " if near else "")
            + f"There are {', '.join(COMMANDS)}; and -c FILE -v VAE trains"
        )
    if not argv:
        known[""].print_help()
        return 0
    return _train(_with_threads(known[""].parse_args(argv)))


def _with_threads(args: argparse.Namespace) -> argparse.Namespace:
    if getattr(args, "threads", None):
        import torch

        torch.set_num_threads(args.threads)
    return args


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration")
    parser.add_argument(
        "-v",
        "--variation",
        metavar="VARIATION",
        type=variation,
        help="VAE: beta is 1, whatever the file says; B-VAE: the file's beta and schedule",
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, help="the run's folder (default: runs/FILE-VARIATION)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in that folder, if there is one"
    )
    path_option(parser)
    parser.add_argument("--seed", help="instead of the file's seed")
    parser.add_argument("--precision", help="fp32 or bf16, instead of the file's")
    device_option(parser)


def _train(args: argparse.Namespace) -> int:
    if args.config is None and args.resume and args.output and args.variation is None:
        from vaelib.experiments.run_folder import CONFIG

        args.config, args.variation = args.output / CONFIG, "B-VAE"  # a VAE's has beta 1
    if args.config is None:
        raise ConfigError(
            "-c is missing: the configuration file, or one of " + ", ".join(config.names())
        )
    if args.variation is None:
        raise ConfigError("-v is missing: VAE (beta is 1) or B-VAE (the file's beta and schedule)")
    overrides = {f"hyperparameters.{key}": getattr(args, key) for key in ("seed", "precision")}
    overrides = {name: value for name, value in overrides.items() if value is not None}
    overall = config.read(args.config, overrides, args.path)
    chosen = overall.variation(args.variation)
    seed = f"-seed{chosen.hyperparameters.seed}" if args.seed is not None else ""
    folder = (
        args.output or Path("runs") / f"{Path(args.config).stem}-{args.variation.lower()}{seed}"
    )

    from vaelib import distributed  # torch takes seconds, and a mistake in the configuration none
    from vaelib.experiments import run, run_folder
    from vaelib.saving import kept

    _log(_of_beta(overall, args.variation))
    try:
        with distributed.started_by_torchrun():
            result = run.train(chosen, folder, args.device, args.resume, log=_log)
    except KeyboardInterrupt as stop:
        checkpoint = folder / run_folder.CHECKPOINT
        again = f"{_program()} --resume --output {shlex.quote(str(folder))}"
        stop.args = (f"saved in {checkpoint}; go on with: {again}",)
        if not kept(checkpoint):
            stop.args = ("nothing was kept",)
        raise
    speed = f"{result['images_per_second']:,} images/s"
    _log(f"ELBO {result['elbo']:.2f} nats, {speed}; all of it: {folder / run_folder.REPORT}")
    return 0


def _of_beta(overall: config.Config, variation: str) -> str:
    beta, schedule = overall.hyperparameters.beta, overall.hyperparameters.schedule
    terms = [f"beta = {beta}"] * (beta is not None) + [f"schedule = {schedule}"] * (
        schedule.kind != "constant"
    )
    if variation == "B-VAE":
        return f"B-VAE: {', '.join(terms)}"
    unused = [f"{what} in {overall.file}" for what in terms if what != "beta = 1.0"]
    return "VAE: beta is 1" + (f"; not used: {', '.join(unused)}" if unused else "")


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    run_option(parser)
    parser.add_argument(
        "--images", type=whole_number, default=1000, help="how many held-out images (default: 1000)"
    )
    parser.add_argument(
        "--samples",
        type=whole_number,
        default=100,
        help="draws an image for log p(x) (default: 100)",
    )
    parser.add_argument(
        "--scores",
        action="store_true",
        help="disentanglement, where the factors are known: a minute",
    )
    path_option(parser)
    device_option(parser)


def _evaluate(args: argparse.Namespace) -> int:
    from vaelib.experiments import finished_run, report

    result = finished_run.evaluate(
        args.run, args.samples, args.images, args.device, args.scores, _log, args.path
    )
    for name, value in report.readable(result):
        _log(f"{name:22}{value}")
    return 0


def _sample_options(parser: argparse.ArgumentParser) -> None:
    run_option(parser)
    parser.add_argument(
        "--number", type=whole_number, default=50, help="how many images (default: 50)"
    )
    parser.add_argument("--seed", type=whole_from_0, default=0, help="default: 0")
    parser.add_argument(
        "--output", metavar="PNG", type=Path, help="the picture (default: samples-seedN.png in RUN)"
    )
    device_option(parser)


def _sample(args: argparse.Namespace) -> int:
    from vaelib.experiments import finished_run

    output = args.output or args.run / f"samples-seed{args.seed}.png"
    if output.suffix.lower() != ".png":
        raise ConfigError(f"--output {output}: must end in .png")
    finished_run.sample(args.run, args.number, args.seed, output, args.device)
    _log(str(output))
    return 0


def _export_options(parser: argparse.ArgumentParser) -> None:
    run_option(parser)
    parser.add_argument(
        "--output", metavar="DIR", type=Path, help="where to (default: the folder export in RUN)"
    )
    parser.add_argument(
        "--html",
        action="store_true",
        help="also explorer.html: the model alive in one page, to open or to send; held-out "
        "images are in it",
    )
    parser.add_argument("--half", action="store_true", help="the weights as float16, half the size")
    parser.add_argument(
        "--programs",
        action="store_true",
        help="also encoder.pt2 and decoder.pt2, which PyTorch runs without vaelib",
    )
    parser.add_argument(
        "--onnx",
        action="store_true",
        help="also encoder.onnx and decoder.onnx, checked with onnxruntime",
    )
    path_option(parser)


def _export(args: argparse.Namespace) -> int:
    from vaelib.experiments import run_folder
    from vaelib.experiments.export import export

    output = args.output or args.run / run_folder.EXPORT
    options = {name: getattr(args, name) for name in ("half", "programs", "html", "onnx")}
    for path in export(args.run, output, **options, log=_log, path=args.path):
        _log(str(path))
    return 0


def _sweep_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="FILE", help="the configuration that the grid varies")
    parser.add_argument(
        "--grid",
        metavar="SECTION.KEY=VALUES",
        action="append",
        type=grid,
        default=[],
        help="values with commas between them, such as hyperparameters.beta=1,2,4; "
        "give it again for a second key",
    )
    parser.add_argument(
        "--seeds", type=whole_number, default=1, help="each with seeds 0 to SEEDS - 1 (default: 1)"
    )
    parser.add_argument(
        "-v",
        "--variation",
        metavar="VARIATION",
        type=variation,
        default="B-VAE",
        help="default: B-VAE",
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, help="its folder (default: runs/FILE-sweep)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on: what is finished there is not run again"
    )
    parser.add_argument(
        "--jobs",
        type=whole_number,
        default=1,
        help="runs at a time, one processor each (default: 1)",
    )
    parser.add_argument(
        "--cluster", metavar="ADDRESS", help="let the workers of this Dask cluster run them"
    )
    device_option(parser)


def _sweep(args: argparse.Namespace) -> int:
    varied = dict(args.grid)
    if len(varied) < len(args.grid):
        raise ConfigError("--grid: a key is given twice")
    if args.cluster and args.jobs > 1:
        raise ConfigError("give either --jobs or --cluster: a cluster has as many jobs as workers")
    if args.threads and (args.cluster or args.jobs > 1):
        raise ConfigError("--threads: of several runs at a time each has one thread")
    folder = args.output or Path("runs") / f"{Path(args.config).stem}-sweep"

    from vaelib.experiments import sweep, sweep_table

    points = sweep.points(args.config, varied, args.seeds, args.variation)
    try:
        rows = sweep.sweep(points, folder, args.device, args.resume, _log, args.jobs, args.cluster)
    except KeyboardInterrupt as stop:
        stop.args = ("the same command with --resume goes on",)
        raise
    _log(f"\n{sweep_table.table(rows)}\n{sweep_table.readable(sweep_table.summary(rows))}\n")
    _log("\n".join(str(folder / name) for name in (sweep.SUMMARY, sweep.PLOT, sweep.TABLE)))
    return int(any(row["status"] != "done" for row in rows))


COMMANDS = {
    "evaluate": (
        "Measures a finished run, in nats, and adds it to its results.json.",
        _evaluate_options,
        _evaluate,
    ),
    "sample": ("Draws images from a finished run.", _sample_options, _sample),
    "sweep": (
        "Runs a configuration with some keys varied; one table of all, as CSV.",
        _sweep_options,
        _sweep,
    ),
    "export": (
        "Writes model.safetensors and config.cfg of a finished run, and more where it is asked.",
        _export_options,
        _export,
    ),
}
