"""Does every experiment hold for seeds that nobody looked at? `python tests/seeds.py 20 [--first 1000] [--full] [NAME ...]`

Runs the small versions, or with `--full` the ten cheapest experiments as they are, with so many seeds, and prints
each crash and each claim that fails. Exit status 1 if there is any. Numbers that a claim is calibrated by come from other
seeds than those that check it: `--first` is the first of them.
"""

import argparse
import sys
import time
from collections import Counter
from dataclasses import replace

from superpose import runs
from superpose.claims import Claims
from superpose.papers import Experiment, experiments


def tried(experiment: Experiment, seed: int, full: bool) -> list[str]:
    """What goes wrong with this seed: nothing where it runs and every claim holds or is told to differ."""
    module = experiment.module()
    config = replace(module.Config(**({} if full else experiment.quick)), seed=seed)
    try:
        measured = experiment.measured(module.run(config))
        claims = Claims(module.claims(measured))
        module.figure(measured)
        module.notes(measured)
    except Exception as error:
        return [f"crashed: {type(error).__name__}: {error}".splitlines()[0]]
    asked = [claim for claim in claims if full or claim.quick]
    return [
        f"{claim.id}: {claim.text}, not {claim.expected.text}" for claim in asked if claim.status == "fails"
    ]


def cheapest(count: int) -> list[str]:
    known = experiments()
    return sorted(known, key=lambda name: known[name].seconds)[:count]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seeds", type=int, help="how many")
    parser.add_argument(
        "names", nargs="*", help="experiments; all, or with --full the ten cheapest, unless given"
    )
    parser.add_argument("--first", type=int, default=1000, help="the first seed")
    parser.add_argument("--full", action="store_true", help="not the small versions")
    asked = parser.parse_intermixed_args()
    runs.keep_compiled()
    wrong: Counter[str] = Counter()
    for name in asked.names or (cheapest(10) if asked.full else list(experiments())):
        began = time.monotonic()
        for seed in range(asked.first, asked.first + asked.seeds):
            for what in tried(experiments()[name], seed, asked.full):
                print(f"{name} --seed {seed}: {what}", flush=True)
                wrong[f"{name} {what.partition(':')[0]}"] += 1
        print(f"{name}: {asked.seeds} seeds, {time.monotonic() - began:.0f} s", flush=True)
        runs.forget_compiled()
    for what, times in wrong.most_common():
        print(f"{times:4d} of {asked.seeds}: {what}")
    print(f"{sum(wrong.values())} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
