"""The command `vitatt sweep`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from vitatt.callbacks.sweep_summary import log_sweep
from vitatt.callbacks.wandb_sweep import require_login, run_sweep
from vitatt.data.datamodule import LesionDataModule
from vitatt.files import write_frame, write_text
from vitatt.options import CALLED_FROM_PYTHON, CommandLine
from vitatt.paths import user_path
from vitatt.reports.sweep import sweep_page
from vitatt.sweep.checks import checked_config
from vitatt.sweep.outcome import fit_command, importances, overlay_text, trials_table
from vitatt.sweep.plan import ARGS, SweepPlan, as_options, make_plan
from vitatt.sweep.progress import progress_line
from vitatt.sweep.record import check_and_record, claimed
from vitatt.sweep.search import check_trainings, num_trials, search
from vitatt.sweep.suggestions import require_optuna
from vitatt.sweep.trials import Trial, TrialFolder, best_of
from vitatt.types import UsageError


def sweep(
    *,
    method: str,
    metric: Mapping[str, Any],
    parameters: Mapping[str, Any],
    command: Sequence[str] = ("vitatt", "fit", ARGS),
    program: str = "vitatt",
    name: str | None = None,
    description: str | None = None,
    project: str = "vitatt",
    entity: str | None = None,
    run_cap: int | None = None,
    early_terminate: Mapping[str, Any] | None = None,
    engine: Literal["optuna", "wandb"] = "optuna",
    trials: int | None = None,
    output: str | None = None,
    inner_folds: int | None = None,
    seed: int = 0,
    threads: int = 1,
    line: CommandLine = CALLED_FROM_PYTHON,
) -> int:
    """Search hyperparameters: offline over inner folds by Optuna, or by a sweep of W&B.

    The offline search never uses the outer fold. It writes every finished training at once, and the
    same command goes on after an interruption, with the same trials. Options of `vitatt fit`, such
    as ``--data.root DIR``, are options of all trainings.

    Args:
        method: How values are chosen: ``bayes``, ``random``, or ``grid`` for all combinations.
        metric: Its ``name``, such as val/selection, and its ``goal``: maximize or minimize.
        parameters: Options of `vitatt fit` and their values, in W&B's format.
        command: Command of W&B's agents, which names the configuration of all trainings, with paths
            from the current folder; its last word is ``${args}``.
        program: Name that W&B shows.
        name: Name of the sweep in W&B.
        description: Text about it in W&B.
        project: Project in W&B.
        entity: User or team in W&B.
        run_cap: Number of trials if `trials` is not given.
        early_terminate: Rule by which W&B stops trainings; the offline search has its own.
        engine: ``optuna`` for the offline search, ``wandb`` for a sweep of W&B with an agent here.
        trials: Number of trials; for W&B, of those by this agent.
        output: Folder for all results of the offline search; by default sweeps/NAME with the name
            of the file.
        inner_folds: Inner folds on which a trial is measured; by default all `data.inner_folds`.
        seed: Seed of the offline search; trainings have their own.
        threads: CPU threads of a training.
        line: The command line, for further options of trainings.

    Returns:
        0.

    Raises:
        UsageError: If a parameter cannot be searched, the folder holds another search, another
            process works in it, all trials failed, or what the engine needs is missing.
        DataError: If the data cannot be read.
    """
    folder = _output(output, line)
    plan = make_plan(
        method=method,
        metric=metric,
        parameters=parameters,
        command=command,
        training_options=line.training_options,
        output=folder,
        trials=run_cap if trials is None else trials,
        inner_folds=inner_folds,
        seed=seed,
        threads=threads,
    )
    if engine == "wandb":
        if output is not None or inner_folds is not None:
            raise UsageError(
                "`output` and `inner_folds` are of the offline search; with `--engine wandb` each "
                "trial is one training on inner fold 0. Leave them out."
            )
        require_login(_offline_command(line, plan))
        checked_config(plan)
        of_wandb = {
            "program": program,
            "name": name,
            "description": description,
            "project": project,
            "entity": entity,
            "method": method,
            "metric": dict(metric),
            "parameters": dict(parameters),
            "command": ["vitatt", "fit", *plan.options, ARGS],
            "run_cap": run_cap,
            "early_terminate": early_terminate and dict(early_terminate),
        }
        run_sweep({key: of_wandb[key] for key in of_wandb if of_wandb[key]}, count=trials)
        return 0
    require_optuna()
    if early_terminate:
        print("note: `early_terminate` is for W&B; the offline search stops trials by the median.")
    with claimed(folder):
        return _search_offline(plan)


def _search_offline(plan: SweepPlan) -> int:
    config = checked_config(plan)
    store = TrialFolder(plan.output / "trials")
    check_and_record(plan, config, started=bool(store.read()))
    training = check_trainings(plan)
    data, total = training.datamodule, num_trials(plan)
    del training
    ended = sum(trial.state != "running" for trial in store.read())
    folds = plan.inner_folds or config["data"]["inner_folds"]
    print(
        f"{total} trials on {folds} inner folds of outer fold {config['data']['fold']}, {ended} of "
        "them finished.",
        flush=True,
    )
    try:
        trials = search(
            plan, config, store, lambda done: print(progress_line(plan, done, total), flush=True)
        )
    except KeyboardInterrupt:
        ended = sum(trial.state != "running" for trial in store.read())
        print(
            f"\n{ended} of {total} trials are finished. All finished trainings are kept in "
            f"{plan.output}: the same command goes on."
        )
        raise
    table = trials_table(plan, trials, folds)
    write_frame(table, plan.output / "trials.csv")
    best = best_of(trials, plan.sign)
    if best is None:
        failed = next(trial for trial in trials if trial.state == "failed")
        raise UsageError(
            f"All {len(trials)} trials failed, the first with: {failed.reason} Mend the cause, or "
            f"search other values, and name another --output, or remove {plan.output}."
        )
    write_text(overlay_text(plan, best, config), plan.output / "best.yaml")
    _report(plan, config, data, trials, best)
    facts = {"method": plan.method, "metric": plan.metric, "best": best.parameters}
    log_sweep(plan.output, facts, table, {f"sweep/{plan.metric}": best.means[-1]})
    _print_best(plan, best)
    return 0


def _report(
    plan: SweepPlan,
    config: Mapping[str, Any],
    data: LesionDataModule,
    trials: Sequence[Trial],
    best: Trial,
) -> None:
    fold = config["data"]["fold"]
    sweep_page(
        plan.output / "report.html",
        title=f"Sweep: {plan.output.name}",
        facts={
            "dataset": data.spec.title,
            "outer fold": f"{fold} (of {config['data']['num_folds']}), unused",
            "inner folds": f"{len(best.folds)} (of {config['data']['inner_folds']})",
            "method": plan.method,
            "trials": str(len(trials)),
            "seed": str(plan.seed),
        },
        plan=plan,
        trials=trials,
        best=best,
        outer_fold=fold,
        shares=importances(plan, trials),
        command=fit_command(plan, _near(plan.output / "best.yaml")),
    )


def _print_best(plan: SweepPlan, best: Trial) -> None:
    print(
        f"Best: trial {best.number}, {plan.metric} {best.value:.4f}, mean over {len(best.folds)} "
        "inner folds. The best of many is optimistic: test it on the outer fold, once.\n"
        f"  {' '.join(as_options(best.parameters))}\n"
        f"To train with it: {fit_command(plan, _near(plan.output / 'best.yaml'))}\n"
        f"Report: {_near(plan.output / 'report.html')}"
    )


def _output(output: str | None, line: CommandLine) -> Path:
    if output is not None:
        return user_path(output, "--output").resolve()
    if not line.config_files:
        raise UsageError("Expected `output` to name a folder for the results, but got none.")
    return Path("sweeps", line.config_files[0].stem).resolve()


def _offline_command(line: CommandLine, plan: SweepPlan) -> str:
    """A command that searches offline instead."""
    words = [word for path in line.config_files for word in ("--config", str(path))]
    trials = str(plan.trials or num_trials(plan))
    return shlex.join(["vitatt", "sweep", *words, *line.training_options, "--trials", trials])


def _near(path: Path) -> Path:
    """A path from the current folder, if it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
