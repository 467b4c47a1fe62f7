"""A search of hyperparameters by Optuna as a sweeper of Hydra: ``hydra/sweeper=optuna``.

Hydra takes sweepers from this namespace package alone. Its own plugin for Optuna needs a version of either that does
not fit the other's current one. Nothing of Optuna is imported until a search starts.
"""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study


JOURNAL = "optuna.log"
"""The study's file in the folder of the sweep."""


class OptunaSweeper(Sweeper):
    """Proposes jobs by the results of the earlier ones; ``configs/hydra/sweeper/optuna.yaml`` explains the arguments.

    The study lies in the sweep's folder as ``optuna.log``. A search that was interrupted goes on with the jobs that it
    left, retries those that failed, and proposes new ones until there are ``trials``.
    """

    launcher: Launcher
    config: DictConfig

    def __init__(
        self, trials: int, at_once: int, sampler: str, seed: int, params: dict[str, str] | None = None
    ) -> None:
        if find_spec("optuna") is None:
            raise ImportError("hydra/sweeper=optuna: not installed; expected pip install 'dlrun[optuna]'")
        if sampler not in ("tpe", "random"):
            raise ValueError(f"hydra.sweeper.sampler={sampler}: expected tpe or random")
        if min(trials, at_once) < 1:
            raise ValueError(f"hydra.sweeper.trials={trials}, at_once={at_once}: expected 1 or more")
        self.trials, self.at_once, self.sampler, self.seed = trials, at_once, sampler, seed
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take over the launcher."""
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until there are enough."""
        from optuna.trial import Trial, TrialState

        from dlrun import interrupt
        from dlrun.config.plan import job_name
        from dlrun.errors import UserError
        from dlrun.files import write_whole

        constant = self.config.hydra.job.config.override_dirname.exclude_keys
        texts = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        overrides = OverridesParser.create().parse_overrides(texts)
        space = {one.key_or_group: distribution(one) for one in overrides if one.is_sweep_override()}
        if not space:
            expected = "expected such as optimizer.lr=interval(0.01,0.1) or model=lenet,mlp"
            raise UserError(f"hydra/sweeper=optuna: nothing to search over; {expected}")
        fixed = [one.input_line or "" for one in overrides if not one.is_sweep_override()]
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "multirun.yaml", OmegaConf.to_yaml(self.config))
        study = self.open(folder)
        ended = [trial for trial in study.trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        left = [Trial(study, trial._trial_id) for trial in study.trials if trial.state == TrialState.RUNNING]
        for trial in study.trials:
            if trial.state == TrialState.FAIL and not any(trial.params == other.params for other in [*ended, *left]):
                study.enqueue_trial(trial.params, skip_if_exists=False)
        done = len(ended)
        while done < self.trials and interrupt.requested() is None:
            count = min(self.at_once, self.trials - done)
            batch = left[:count]
            left = left[count:]
            batch += [study.ask(space) for _ in range(count - len(batch))]
            jobs = [[*fixed, *(f"{key}={_text(value)}" for key, value in trial.params.items())] for trial in batch]
            for proposed, job in zip(batch, jobs, strict=True):
                proposed.set_user_attr("job", job_name(job, constant))  # by which the job finds its trial
            results = self.launcher.launch(jobs, initial_job_idx=done)
            for proposed, result in zip(batch, results, strict=True):
                _ = result.return_value  # raises what went wrong outside of the job
                _tell(study, proposed.number, folder / str(study.trials[proposed.number].user_attrs["job"]))
            done += count

    def open(self, folder: Path) -> Study:
        """The study of a sweep's folder, new or continued."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        (folder / f"{JOURNAL}.lock").unlink(missing_ok=True)  # of a process that was killed: this sweep is alone here
        repair(folder / JOURNAL)
        storage = open_storage(folder)
        known = optuna.get_all_study_names(storage)
        # Another seed after a break: the same one would propose the first points again.
        seed = self.seed + (len(optuna.load_study(study_name="sweep", storage=storage).trials) if known else 0)
        samplers: dict[str, Any] = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
        return optuna.create_study(
            study_name="sweep",
            storage=storage,
            sampler=samplers[self.sampler](seed=seed),
            direction="maximize",
            load_if_exists=True,
        )


def open_storage(folder: Path) -> Any:
    """The file in which a sweep's folder keeps its study; several processes may write to it."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    from dlrun.files import append

    file = folder / JOURNAL
    lock = JournalFileSymlinkLock(str(file))

    class Journal(JournalFileBackend):
        """Optuna's, with lines that are written whole or not at all."""

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            lock.acquire()
            try:
                append(file, "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs))
            finally:
                lock.release()

    return JournalStorage(Journal(str(file), lock))


def repair(file: Path) -> None:
    """Cut a study's file back to its whole lines; what is cut off stays beside it. Jobs that ended keep their results.

    Args:
        file: to which nobody is writing; it need not exist.
    """
    from dlrun import console
    from dlrun.files import write_whole

    content = file.read_bytes() if file.exists() else b""
    whole = 0
    for line in content.splitlines(keepends=True):
        if not _is_record(line):
            break
        whole += len(line)
    if whole < len(content):
        kept = file.with_name(f"{file.name}.damaged")
        write_whole(kept, content)
        write_whole(file, content[:whole])
        lines = content[:whole].count(b"\n")
        console.say(
            f"warning: {file}: damaged after line {lines}; the search goes on from there, all of it is in {kept}"
        )


def _is_record(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def distribution(override: Override) -> BaseDistribution:
    """What Optuna draws from, for an override such as ``tag(log,interval(0.001,0.1))``, ``range(1,9)`` or ``a,b``."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep = override.value()
    if isinstance(sweep, ChoiceSweep):
        return CategoricalDistribution([json.loads(json.dumps(choice, default=str)) for choice in sweep.list])
    step: Any = None
    if isinstance(sweep, RangeSweep):
        values = list(sweep.range())
        low, high, step = values[0], values[-1], values[1] - values[0] if len(values) > 1 else 1
    else:
        assert isinstance(sweep, IntervalSweep)
        low, high = sweep.start, sweep.end
    log = "log" in sweep.tags
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log, step=step or 1)
    return FloatDistribution(float(low), float(high), log=log, step=step)


def _tell(study: Study, number: int, run: Path) -> None:
    """Tell the study how a job ended; of one that was interrupted nothing, so that it is continued."""
    from optuna.trial import TrialState

    from dlrun.run.folder import read_result

    result = read_result(run)
    status, value = result.get("status"), result.get("metrics", {}).get(result.get("monitor"))
    if status == "completed" and result.get("stopped") == "pruned":
        study.tell(number, state=TrialState.PRUNED)
    elif status == "completed" and value is not None and math.isfinite(value):
        study.tell(number, value if result["higher_is_better"] else -value)
    elif status in ("completed", "failed"):
        study.tell(number, state=TrialState.FAIL)


def _text(value: Any) -> str:
    return "null" if value is None else str(value)
