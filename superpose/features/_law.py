"""What every law of features has, and checks of what is given as one."""

from typing import Any

from superpose.inputs import whole


def check_law(features: Any, has: str = "sample") -> None:
    """Raise TypeError unless `features` is a law of features with the attribute `has`."""
    if isinstance(features, type) or not hasattr(features, has):
        kind = f"the class {features.__name__}" if isinstance(features, type) else type(features).__name__
        raise TypeError(
            f"features must be a law that samples, such as Independent(0.1, n_features=5), got {kind}; "
            "for data of your own give Empirical(data)"
        )


def check_sampled(features: Any, batch: int) -> None:
    """Raise TypeError or ValueError unless `features` can be sampled and `batch` is a number of samples."""
    check_law(features)
    if whole(batch, "batch") < 1:
        raise ValueError(f"batch must be at least 1 sample, got {batch}")
