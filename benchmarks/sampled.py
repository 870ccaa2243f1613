"""Sampled training: `train.fit` against PyTorch's faster layout, by turns, and against the machine.

The machine's limit is the time for the five matrix products of a step at the speed of one large
product, plus that for the random words at the speed of their generator, both measured here with
all cores. Needs `torch`, for `benchmarks/peers.py`:

    python benchmarks/sampled.py
"""

import math
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import torch
from peers import LAYOUTS, SIZES, recipe

from superpose import draws, grid
from superpose.features import Independent
from superpose.losses import Sampled
from superpose.models import ReluOutput
from superpose.train import ensemble, fit

BATCH, REPEATS, SECONDS = 1024, 9, 0.5


def ours(members, n_features, n_hidden, density=None, batch=BATCH, stratified=False):
    """A function of a number of steps that takes so many and returns the seconds for each."""
    key, importance = jax.random.key(0), 0.9 ** np.arange(n_features)
    models = ensemble(lambda key: ReluOutput.init(n_features, n_hidden, key=key), members=members, key=key)
    density = np.logspace(0, -1.3, members) if density is None else np.full(members, density)
    losses = grid.each(lambda p: Sampled(Independent(p, importance), batch, stratified=stratified), density)

    def run(steps):
        began = time.perf_counter()
        jax.block_until_ready(fit(models, losses, steps=steps, key=key, own_loss=True, progress=False))
        return (time.perf_counter() - began) / steps

    run(1)  # compiles
    return run


def best(work, repeats=9):
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def limits(n=3000, words=1 << 26):
    """Floating-point operations, and random words, per second."""
    a = jnp.ones((n, n))
    product = jax.jit(jnp.matmul)
    draw = jax.jit(
        lambda key: jax.lax.fori_loop(
            0,
            words // 2**14,
            lambda t, acc: acc ^ draws.bits(jax.random.fold_in(key, t), (2**14,)),
            jnp.zeros(2**14, jnp.uint32),
        ),
        compiler_options={"xla_cpu_multi_thread_eigen": False},
    )
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        keys = list(jax.random.split(jax.random.key(0), cores))
        seconds = best(lambda: list(pool.map(lambda key: draw(key).block_until_ready(), keys)))
    return 2 * n**3 / best(lambda: product(a, a).block_until_ready()), cores * words / seconds


def without_silence(members=10, n=20, m=5, density=0.005):
    """Batches in which something is always active, of the size that keeps the variance, against whole ones."""
    batch = math.ceil(BATCH * (1 - (1 - density) ** n))
    whole, some = ours(members, n, m, density), ours(members, n, m, density, batch, stratified=True)
    ratios = [whole(1000) / some(1000) for _ in range(REPEATS)]
    print(
        f"\nAt density {density}, {members} x ({n}, {m}): a stratified batch of {batch} samples, all with some feature active, "
        f"in place of {BATCH}: **{statistics.median(ratios):.1f}** times as fast ({min(ratios):.1f} to {max(ratios):.1f}), and no "
        "more noise in the loss.\n"
    )


def main() -> None:
    flops, words = limits()
    print("## Sampled steps\n")
    print(
        f"Milliseconds for a step of all models, batch {BATCH}; medians of {REPEATS} turns and their range. The peer is "
        f"the notebook's recipe in PyTorch {torch.__version__}, {torch.get_num_threads()} threads, in its faster layout. The "
        f"machine's limit is {flops / 1e9:.0f} Gflop/s in one large matrix product and {words / 1e9:.2f} G random words/s.\n"
    )
    print(
        "| models, features, hidden | superpose | PyTorch | its layout | ratio | share of the machine's limit |"
    )
    print("|---|---|---|---|---|---|")
    for members, n, m in SIZES:
        runs = {"ours": ours(members, n, m)} | {
            layout: recipe(members, n, m, layout, BATCH) for layout in LAYOUTS
        }
        steps = {name: max(20, int(SECONDS / run(100))) for name, run in runs.items()}
        times = {name: [] for name in runs}
        for _ in range(REPEATS):
            for name, run in runs.items():
                times[name].append(1e3 * run(steps[name]))
        median = {name: statistics.median(taken) for name, taken in times.items()}
        peer = min(LAYOUTS, key=median.get)
        ratios = [b / a for a, b in zip(times["ours"], times[peer], strict=True)]
        limit = 1e3 * members * BATCH * (10 * n * m / flops + n / words)
        told = [
            f"{median[name]:.3f} ({min(times[name]):.3f} to {max(times[name]):.3f})"
            for name in ("ours", peer)
        ]
        print(
            f"| {members} x ({n}, {m}) | {told[0]} | {told[1]} | {peer} | "
            f"**{statistics.median(ratios):.1f}** ({min(ratios):.1f} to {max(ratios):.1f}) | {limit / median['ours']:.0%} |",
            flush=True,
        )
    without_silence()


if __name__ == "__main__":
    main()
