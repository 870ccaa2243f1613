"""Cells that take no time: numbers that follow from their point and their seed."""

import os
import time

import numpy as np

AXES = {"x": range(12), "y": [0.5, 1.5, 2.5], "n": [2, 3]}


def cell(x, y, *, n, seeds=2, key, slow=0.0):
    time.sleep(slow * len(x))
    if log := os.environ.get("SWEEP_LOG"):
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{len(x)}\n")
    return {
        "loss": (("member",), x[:, None] + y[:, None] / n + np.arange(seeds)),
        "W": (("feature",), np.sin(x[:, None] * np.arange(1, n + 1))),
        "big": x > 5,
    }


def failing(x, y):
    if (x == 7).any():
        raise ValueError("seven is not to be had")
    return {"loss": np.where(x == 3, np.nan, x * y)}


def huge(x, y):
    if (x == 2).any():
        np.ones(10**14)
    return {"loss": x * y}


def hanging(x, y):
    if (x == 2).any():
        time.sleep(1000)
    return {"loss": x * y}


def dying(x, y):
    if (x == 2).any():
        os.kill(os.getpid(), 9)
    return {"loss": x * y}


def dying_once(x, y):
    """Its process dies at the first try of x = 2: the marker says that it was tried."""
    marker = os.environ["SWEEP_MARKER"]
    if (x == 2).any() and not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), 9)
    return {"loss": x * y}


def exiting(x):
    raise SystemExit(3)
