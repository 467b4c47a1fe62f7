"""dlrun: an experiment runner for deep learning on images, for the command line and for Python.

Example:
    >>> import dlrun
    >>> run = dlrun.train("model=lenet", dataset="mnist", **{"optimizer.lr": 0.1})
    >>> run.metrics["test/accuracy"]

What is named here comes from :mod:`dlrun.api` when it is first asked for, so that the import takes no time.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False  # as typing's own, which takes a moment to import
if TYPE_CHECKING:
    from dlrun.api.run import Run
    from dlrun.api.sweep import Sweep
    from dlrun.api.verbs import call, finetune, open, sweep, train
    from dlrun.errors import RunError, UserError
else:
    PLACES = {
        "Run": "api.run",
        "Sweep": "api.sweep",
        **dict.fromkeys(("call", "finetune", "open", "sweep", "train"), "api.verbs"),
        **dict.fromkeys(("RunError", "UserError"), "errors"),
    }

    def __getattr__(name):
        if name not in PLACES:
            raise AttributeError(f"module 'dlrun' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"dlrun.{PLACES[name]}"), name)


__all__ = ["Run", "RunError", "Sweep", "UserError", "call", "finetune", "open", "sweep", "train"]


def __dir__() -> list[str]:
    return [*globals(), *__all__]
