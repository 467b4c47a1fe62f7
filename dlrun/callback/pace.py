"""How long a training will take, by its first steps."""

from __future__ import annotations

LONG = 180.0
"""Seconds to go from which it is said that a training takes long."""
SHORT = 60
"""Seconds that a training takes with the shorter settings that are then named, about."""
LOOK = 10.0
"""Seconds of steps by which it is judged."""
STEPS = 2
"""And so many steps at least."""
SLOW = 3
"""Steps before those: the first is slower than others, and pictures are drawn after the second."""
LARGE = 48
"""Pixels of images from which half their size is worth a try."""


class Pace:
    """Judges the speed of a training once.

    Args:
        last: the step with which it ends.
    """

    def __init__(self, last: int) -> None:
        self.last = last
        self._seen, self._first = 0, (0, 0.0)
        self.is_open = True
        """Whether it is not judged yet."""

    def left(self, step: int, now: float) -> float | None:
        """The seconds to go, once, as soon as there is enough to judge by.

        Args:
            step: how many are done.
            now: a clock in seconds.
        """
        self._seen += 1
        if self._seen <= SLOW:
            self._first = step, now
        steps, seconds = step - self._first[0], now - self._first[1]
        if steps < STEPS or seconds < LOOK:
            return None
        self.is_open = False
        return seconds / steps * (self.last - step)


def advice(seconds: float, steps: int, epochs: int, image_size: int | None) -> str:
    """What to say of a training that has these seconds to go.

    Args:
        seconds: to go.
        steps: of the whole training.
        epochs: of the whole training.
        image_size: pixels of the images; None where it cannot be chosen.

    Example:
        >>> advice(1500, 500, 50, 128)
        'about 25 min to go at this speed; dataset.image_size=64 or trainer.epochs=2 makes it shorter'
    """
    share = SHORT / seconds
    shorter = [f"dataset.image_size={image_size // 2}"] if image_size and image_size >= LARGE else []
    few = int(epochs * share)
    shorter.append(f"trainer.epochs={few}" if few else f"trainer.steps={max(1, int(steps * share))}")
    time = f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min"
    return f"about {time} to go at this speed; {' or '.join(shorter)} makes it shorter"
