"""`lumibot-duckdb sweep`: runs a script with many combinations of its strategy's parameters."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.completers import completed_by, nothing, sweeps
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.numbers import positive_number, whole_number
from lumibot_duckdb.cli.results_store import add_results, open_results
from lumibot_duckdb.cli.script_arguments import check_switches, file_to_run
from lumibot_duckdb.cli.store import chosen_path
from lumibot_duckdb.cli.suggestions import similar_file
from lumibot_duckdb.progress import Progress

if TYPE_CHECKING:
    from lumibot_duckdb.cli.parser import CommandParser
    from lumibot_duckdb.sweeps.plan import SweepPlan
    from lumibot_duckdb.sweeps.search.method import Search

_DESCRIPTION = """\
Run the backtest of an unmodified script with many combinations of the strategy's parameters, and keep all results.

The script runs up to its first backtest (or that of --strategy). Each trial is this backtest with other parameters, in
a separate process; what the script does after the backtest does not run. All trials see the store as it was when the
sweep began. Bars that are missing are downloaded before, by a first trial.

Results are rows of a DuckDB file beside the store, which `lumibot-duckdb results` reads, also while the sweep runs.
Ctrl-C lets the running trials finish and keeps everything; the same command with --resume continues. A second Ctrl-C
stops at once. A search of --random or --optuna can also be resumed with a larger number, after its end, too. The
script's own arguments come after --.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb sweep my_strategy.py --set fast=5:50:5 --set slow=20,50,100 --where "fast < slow"
  lumibot-duckdb sweep my_strategy.py --set fast=2:200:1 --set stop=0.01:0.2 --random 200 --name wide -- --symbol SPY
  lumibot-duckdb sweep my_strategy.py --set fast=2:200:1 --set stop=0.01:0.2 --random 200 --name wide --resume \\
    -- --symbol SPY
  lumibot-duckdb sweep my_strategy.py --set fast=5:50:5 --walk-forward train=12M,test=3M
  lumibot-duckdb --store s3://research/bars sweep my_strategy.py --set fast=5:50:5 --engine dask \\
    --address tcp://10.0.0.1:8786 --results research.duckdb
  lumibot-duckdb sweep my_strategy.py --set fast=5:50:5 --objective calmar --timeout 600 --memory 2GB --dry-run

exit codes: 0 success; 1 no trial was completed, the first ten failed alike, the script cannot be backtested, the sweep
runs already, or the cluster fails; 2 wrong usage; 3 the store or the results file cannot be used, or the disk is full;
130 interrupted (129 by SIGHUP, 143 by SIGTERM).
"""


def configure(parser: CommandParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.usage = "lumibot-duckdb sweep [-m] SCRIPT --set NAME=VALUES [OPTION]... [-- ARGUMENT ...]"
    parser.add_argument("script", metavar="SCRIPT", help="the script to backtest")
    parser.add_argument("-m", dest="is_module", action="store_true", help="SCRIPT is the name of a module")
    parser.takes_script_arguments = True
    _add_search(parser)
    _add_running(parser)
    _add_results(parser)
    parser.set_defaults(run=_run)


def _add_search(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    values = add(
        "--set",
        dest="sets",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="values of a parameter: START:STOP:STEP with both ends, or a list A,B,C; may be repeated",
    )
    completed_by(values, nothing)
    where = add(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help='run only combinations such as "fast < slow"; may be repeated',
    )
    completed_by(where, nothing)
    kinds = parser.add_mutually_exclusive_group()
    for kind, purpose in (("random", "run N random combinations"), ("optuna", "let Optuna choose N combinations")):
        completed_by(kinds.add_argument(f"--{kind}", type=whole_number, metavar="N", help=purpose), nothing)
    completed_by(
        add("--seed", type=int, metavar="N", help="another seed gives other random trials (default: 0)"), nothing
    )
    sampler = add("--sampler", metavar="NAME", help="Optuna's sampler, such as tpe, gp or cmaes (default: tpe)")
    completed_by(sampler, _samplers)
    pruner = add("--pruner", metavar="NAME", help="Optuna's pruner, which ends hopeless trials early, such as median")
    completed_by(pruner, _pruners)
    objective = add(
        "--objective", default="sharpe", metavar="STATISTIC", help="what makes a trial the best (default: sharpe)"
    )
    completed_by(objective, _objectives)
    add("--minimize", action="store_true", help="the best trial has the smallest value, not the largest")
    walk_forward = add(
        "--walk-forward",
        metavar="WINDOWS",
        help="search in windows, and test the best parameters of each on what follows: train=12M,test=3M[,anchored]"
        "[,purge=5D]",
    )
    completed_by(walk_forward, nothing)


def _add_running(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    completed_by(
        add("--strategy", metavar="NAME", help="sweep the backtest of this strategy, if the script has several"),
        nothing,
    )
    completed_by(
        add(
            "--jobs",
            type=whole_number,
            metavar="N",
            help="run N trials at a time (default: one for each CPU, here or in the cluster)",
        ),
        nothing,
    )
    completed_by(
        add("--timeout", type=positive_number, metavar="SECONDS", help="end a trial that takes longer"), nothing
    )
    completed_by(add("--memory", type=_size, metavar="SIZE", help="end a trial that needs more: 500MB"), nothing)
    engine = add(
        "--engine",
        default="local",
        metavar="ENGINE",
        help="where trials run: local (default), or on the workers of a cluster: dask or ray",
    )
    completed_by(engine, _engines)
    address = add("--address", metavar="ADDRESS", help="of the cluster: tcp://HOST:8786 (Dask), HOST:6379 (Ray)")
    completed_by(address, nothing)
    add("--artifacts", type=Path, metavar="FOLDER", help="keep each trial's statistics files, plots and logs here")


def _add_results(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    completed_by(add("--name", help="of the sweep (default: that of the script, and a number)"), sweeps)
    add_results(parser)
    add(
        "--resume", action="store_true", help="continue the sweep of that name; trials that are stored do not run again"
    )
    add("--retry-failed", action="store_true", help="with --resume, run failed trials again")
    add("--keep-going", action="store_true", help="continue if the first ten trials all fail with the same error")
    add("--dry-run", action="store_true", help="show what would run, without running a trial")


def _objectives(**_: Any) -> Iterable[str]:
    from lumibot_duckdb.sweeps.search.objectives import objective_names

    return objective_names()


def _engines(**_: Any) -> Iterable[str]:
    from lumibot_duckdb.sweeps.engines import ENGINES

    return ENGINES


def _samplers(**_: Any) -> Iterable[str]:
    from lumibot_duckdb.sweeps.search.optuna_parts import SAMPLERS

    return SAMPLERS


def _pruners(**_: Any) -> Iterable[str]:
    from lumibot_duckdb.sweeps.search.optuna_parts import PRUNERS

    return PRUNERS


def _size(text: str) -> int:
    from lumibot_duckdb.storage.upkeep.settings import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _run(arguments: argparse.Namespace) -> int:
    with _refusals():
        plan = _plan(arguments)
        if arguments.dry_run:
            from lumibot_duckdb.cli.sweep_preview import preview
            from lumibot_duckdb.sweeps.beginning import check_name

            check_name(plan, resume=arguments.resume)
            print(preview(plan))
            return 0
        return _sweep(plan, arguments)


def _sweep(plan: SweepPlan, arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.cli.sweep_summary import beginning, summary
    from lumibot_duckdb.sweeps.engines import open_engine
    from lumibot_duckdb.sweeps.sweep import run_plan

    with open_engine(arguments.engine, arguments.address, arguments.jobs) as engine:
        plan = replace(plan, jobs=engine.jobs)
        sweep = run_plan(
            plan,
            resume=arguments.resume,
            retry_failed=arguments.retry_failed,
            keep_going=arguments.keep_going,
            open_executor=engine.open_executor,
            on_begin=lambda run: print(beginning(plan, run), flush=True),
        )
    with Progress("Writing the report"):
        text = summary(sweep)
    print(text)
    return 0 if any(each.status == "complete" for each in sweep.records.values()) else 1


def _plan(arguments: argparse.Namespace) -> SweepPlan:
    from lumibot_duckdb.sweeps.engines import check_choice
    from lumibot_duckdb.sweeps.plan import SweepPlan, usable_cpus
    from lumibot_duckdb.sweeps.search.objectives import Objective
    from lumibot_duckdb.sweeps.search.space import Space
    from lumibot_duckdb.sweeps.trials.target import ScriptTarget
    from lumibot_duckdb.sweeps.trials.trial import Limits
    from lumibot_duckdb.sweeps.walk_forward.windows import WalkForward

    script = _checked_script(arguments)
    store = chosen_path(arguments.store, script)
    search = _search(arguments)
    if arguments.seed is not None and search.kind == "grid":
        raise CommandError("--seed is for --random and --optuna: a grid runs all combinations")
    check_choice(arguments.engine, arguments.address)
    if search.prunes and arguments.engine != "local":
        raise CommandError("--pruner needs trials on this machine: leave out --engine, or --pruner")
    if arguments.retry_failed and not arguments.resume:
        raise CommandError("--retry-failed continues a sweep: add --resume")
    if arguments.resume and arguments.name is None:
        raise CommandError("which sweep is to be resumed? Add --name (lumibot-duckdb results lists them)")
    return SweepPlan(
        target=ScriptTarget(
            arguments.script, tuple(arguments.script_arguments), arguments.is_module, arguments.strategy, store
        ),
        store=store,
        results=open_results(arguments, script).path,
        space=Space.of_options(arguments.sets, arguments.where),
        objective=Objective.of(arguments.objective, "minimize" if arguments.minimize else None),
        search=search,
        walk_forward=None if arguments.walk_forward is None else WalkForward.of(arguments.walk_forward),
        name=arguments.name,
        jobs=arguments.jobs or usable_cpus(),
        limits=Limits(arguments.timeout, arguments.memory),
        artifacts=arguments.artifacts,
        engine=arguments.engine,
    )


def _search(arguments: argparse.Namespace) -> Search:
    from lumibot_duckdb.sweeps.search.method import Search

    if arguments.optuna is None and (arguments.sampler or arguments.pruner):
        raise CommandError("--sampler and --pruner are Optuna's: add --optuna N")
    if arguments.random is not None:
        return Search("random", arguments.random, arguments.seed or 0)
    if arguments.optuna is not None:
        sampler, pruner = arguments.sampler or "tpe", arguments.pruner or "none"
        return Search("optuna", arguments.optuna, arguments.seed or 0, sampler, pruner)
    return Search()


def _checked_script(arguments: argparse.Namespace) -> Path | None:
    """Return the file of the script, None for a module whose file is not known. Raises `CommandError`."""
    file = file_to_run(arguments.script, arguments.is_module)
    if not arguments.is_module and file is not None and not file.is_file():
        raise CommandError(f"there is no script {arguments.script}{similar_file(Path(arguments.script))}")
    check_switches(file)
    return file


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn the errors of a sweep into those of the command."""
    from lumibot_duckdb.results import ResultsNotFoundError, SweepExistsError, SweepNotFoundError
    from lumibot_duckdb.results.errors import InvalidResultError
    from lumibot_duckdb.sweeps.engines.errors import EngineError
    from lumibot_duckdb.sweeps.errors import (
        HopelessSweepError,
        SweepError,
        SweepRunningError,
        TargetError,
        UnknownParameterError,
    )
    from lumibot_duckdb.sweeps.search.errors import SearchError

    of_names = (SweepExistsError, SweepNotFoundError, ResultsNotFoundError)
    try:
        yield
    except (SearchError, UnknownParameterError, InvalidResultError, *of_names) as error:
        raise CommandError(str(error)) from None
    except TargetError as error:
        if error.details:
            print(error.details, file=sys.stderr)
        raise CommandError(str(error), exit_code=1) from None
    except SweepError as error:
        is_failure = isinstance(error, (SweepRunningError, HopelessSweepError, EngineError))
        raise CommandError(str(error), exit_code=1 if is_failure else 2) from None
