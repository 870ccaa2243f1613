"""What work takes, known before it begins: seconds, and whether it fits into memory."""

from dataclasses import dataclass, fields, replace
from typing import Any

from superpose import memory
from superpose.settings import option


@dataclass(frozen=True)
class Cost:
    """What some work takes, roughly: `seconds` on two cores, and `numbers` held at once, of 8 bytes each.

    >>> Cost(seconds=1.0, numbers=10.0) + Cost(seconds=2.0, numbers=5.0)
    Cost(seconds=3.0, numbers=15.0)
    """

    seconds: float
    numbers: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.seconds + other.seconds, self.numbers + other.numbers)


def training(models: float, features: float, weights: float, steps: float, batch: float) -> Cost:
    """What it takes to `train.fit` this many models of this many features and weights.

    Based on steps measured at 2 to 400 features, LOG.md.

    >>> round(training(models=10, features=5, weights=10, steps=10_000, batch=1024).seconds, 2)
    0.51
    """
    step = 1e-6 + 0.5e-9 * batch * (0.2 * weights + 1.2 * features)
    return Cost(
        models * steps * step, models * (8 * weights + steps / 50) + steps / 10 + 20 * batch * features
    )


def minimizing(models: float, weights: float) -> Cost:
    """What it takes to `train.minimize` this many models of this many weights on an exact loss.

    >>> round(minimizing(models=100, weights=10).seconds, 2)
    0.5
    """
    return Cost(models * 5e-5 * weights**2, models * (16 * weights + 40))


def evaluating(times: float, numbers: float, held: float = 0) -> Cost:
    """What it takes to compute something of this many `numbers` this many `times`, and to keep `held` of each.

    >>> evaluating(times=1000, numbers=1e6, held=1).numbers
    10003000.0
    """
    return Cost(1e-9 * times * numbers, 10 * numbers + 3 * times * held)


def check_room(config: Any) -> None:
    """Raise MemoryError, in one line that names the setting, unless what a run with this config holds fits into memory.

    An experiment's `config` without a `cost` is taken to fit.
    """
    if not hasattr(config, "cost"):
        return
    needed = 8 * config.cost.numbers
    default = type(config)()

    def less(name):
        """What would be needed with this setting at its default."""
        try:
            return 8 * replace(config, **{name: getattr(default, name)}).cost.numbers
        except ValueError:
            return needed

    names = [each.name for each in fields(config)]
    changed = [name for name in names if getattr(config, name) != getattr(default, name)]
    most = min(changed, key=less, default="")
    remedy = f"give a lower --{option(most)}" if most else "use a machine with more memory"
    memory.check(needed, f"a run with {option(most)} {_told(config, most)}" if most else "a run", remedy)


def _told(config, name) -> str:
    value = getattr(config, name)
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
