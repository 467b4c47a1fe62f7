"""Stopping the bad trials of a search early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlrun.callback.callback import Callback

if TYPE_CHECKING:
    from dlrun.dataset.data import Data
    from dlrun.training.trainer import Trainer


class Pruning(Callback):
    """Stops a trial whose validation is worse than the median of the earlier trials in the same epoch.

    Outside of a search by Optuna it does nothing.

    Args:
        first: trials that are not pruned.
        warmup_epochs: epochs of a trial that are not judged.
    """

    def __init__(self, first: int = 3, warmup_epochs: int = 1) -> None:
        self.first, self.warmup_epochs = first, warmup_epochs
        self._trial: Any = None

    def reads_network(self, data: Data) -> bool:
        """It does not."""
        return False

    def on_phase_start(self, trainer: Trainer) -> None:
        """Find the trial of the run in the study that lies beside it."""
        folder = trainer.folder.resolve().parent
        if not (folder / "optuna.log").exists():
            return
        import optuna

        from hydra_plugins.dlrun_optuna import open_storage

        pruner = optuna.pruners.MedianPruner(n_startup_trials=self.first, n_warmup_steps=self.warmup_epochs)
        study = optuna.load_study(study_name="sweep", storage=open_storage(folder), pruner=pruner)
        for trial in study.trials:
            if trial.state == optuna.trial.TrialState.RUNNING and trial.user_attrs.get("job") == trainer.folder.name:
                self._trial = optuna.trial.Trial(study, trial._trial_id)

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """Report the monitored metric, and stop where it is too bad."""
        value = metrics.get(trainer.monitor)
        if self._trial is None or value is None:
            return
        self._trial.report(value if trainer.higher_is_better else -value, trainer.cursor.epoch)
        if self._trial.should_prune():
            trainer.stop("pruned")
