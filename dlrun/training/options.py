"""The options of a training: the section ``trainer`` of a config. No torch here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dlrun.config.section import MAY_CHANGE, Fraction, Positive, PositiveFloat, Section


class TrainerOptions(Section):
    """Options of :class:`dlrun.training.trainer.Trainer`; their defaults are in ``configs/trainer/default.yaml``."""

    epochs: Annotated[Positive, MAY_CHANGE]
    """Of the whole training."""
    steps: Annotated[Positive | None, MAY_CHANGE]
    """Optimizer steps; they override the epochs."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$"), MAY_CHANGE]
    """Where the model is: the best there is for ``auto``."""
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    """The number format of the forward pass; ``auto`` is bf16 where the hardware has it."""
    devices: Annotated[Positive, MAY_CHANGE]
    """Processes that train together, on as many GPUs or on parts of the CPU."""
    replicas: Positive | None
    """Parts of a batch, each computed by one thread: the same bits on any number of threads and processes."""
    sync_batch_norm: bool
    """Whether batch normalisation takes the statistics of all processes' parts of a batch."""
    shard: Annotated[bool, MAY_CHANGE]
    """Whether parameters, gradients and the optimizer's state lie in parts on the processes."""
    clip_norm: PositiveFloat | None
    """The largest norm of the gradient."""
    ema: Fraction | None
    """The decay of a moving average of the weights, which is then validated and kept."""
    patience: Annotated[Positive | None, MAY_CHANGE]
    """Validations without a better one that end the training."""
    monitor: str | None
    """The metric that chooses the best epoch; None is the task's own."""
    validate_every: Positive
    """Epochs between two validations."""
    limit_batches: Positive | None
    """Only so many batches of every split, in evaluation of every class in its proportion."""
    compile: bool
    """Whether ``torch.compile`` compiles the model."""
    channels_last: bool
    """The memory format of convolutions."""
    deterministic: bool
    """Only algorithms that repeat to the bit, on a GPU too."""
    log_every: Annotated[Positive, MAY_CHANGE]
    """Steps between two looks at the loss."""
