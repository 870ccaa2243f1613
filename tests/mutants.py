"""Do the tests catch mistakes? `python tests/mutants.py [WORD ...]` makes small wrong changes, one at a time.

Each change is made in a copy of the package, on which the tests of its module run; it is caught if one of
them fails. Without words all changes are made, else those with one of the words in
their module or text. Exit status 1 if one is not caught.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent

TESTS = {
    "values": ["values", "exact", "features"],
    "features/_sets": ["features", "random", "contracts"],
    "features/_hierarchy": ["features"],
    "features/_copula": ["features"],
    "features/_counted": ["features"],
    "features/_law": ["features"],
    "forests": ["features", "exact"],
    "models": ["models", "contracts"],
    "exact/_outputs": ["exact", "losses"],
    "exact/_sets": ["exact", "losses"],
    "exact/_trees": ["exact"],
    "losses": ["losses", "exact", "contracts"],
    "attacks": ["attacks"],
    "train/_ensemble": ["train", "random"],
    "train/_fit": ["train"],
    "train/_minimize": ["train"],
    "train/_basins": ["basins"],
    "measures": ["measures", "privileged"],
    "polytopes": ["polytopes", "measures"],
    "theory": ["theory", "geometry"],
    "solutions": ["solutions", "geometry", "polytopes"],
    "curves": ["curves"],
    "dictionaries/_autoencoders": ["dictionaries"],
    "dictionaries/scores": ["scores"],
    "grid": ["computation", "experiments", "sizes"],
    "store/_replace": ["store"],
    "claims": ["claims"],
    "memory": ["sizes"],
}
"""The test files that a module is tested by, and its own examples."""

# Signs, factors, axes, keys used twice, importance dropped, conditions turned around.
MUTANTS = [
    ("values", "return (self.low + self.high) / 2", "return self.low"),
    ("values", "self.low * self.high + self.high**2) / 3", "self.low * self.high + self.high**2) / 2"),
    ("values", "return 2 * self.scale**2", "return self.scale**2"),
    ("values", "return self.low + (self.high - self.low) * v", "return self.low + self.high * v"),
    ("values", "return real, t * real", "return real, -t * real"),
    ("values", "(above - below) / (2 * jnp.where", "(above - below) / (1 * jnp.where"),
    ("values", "x + x * square * sin", "x - x * square * sin"),
    ("values", "jnp.where(turn >= 2, -sin, sin)", "jnp.where(turn > 2, -sin, sin)"),
    ("values", "side * whole / 2", "whole / 2"),
    ("values", "(mean**2 + spread) * erf(t) / 2", "(mean**2 - spread) * erf(t) / 2"),
    ("exact/_sets", "set_square - set_mean**2", "set_square - set_mean"),
    ("exact/_sets", "t_mean * (z - set_mean[at])", "t_mean * z"),
    ("exact/_outputs", "kink[0] * value + kink[1] * slope", "kink[0] * value - kink[1] * slope"),
    ("exact/_sets", "sets, self.chance, 1 - self.chance", "sets, self.chance, self.chance"),
    ("exact/_outputs", "H / 2 * (kink[0] * z + kink[1] * t)", "H / 2 * (kink[0] * z + kink[1] * z)"),
    ("exact/_sets", "by_phi = p * others + odd * few_turn * a", "by_phi = p * others"),
    ("exact/_sets", "(turn * (mine - a)).real.sum()", "(turn * mine).real.sum()"),
    ("exact/_outputs", "series - kink[0] * flip * zz / 2", "series - kink[0] * zz / 2"),
    ("exact/_sets", "(phi.sum(0) - (n - size)) / size", "phi.sum(0) / size"),
    ("exact/_outputs", "tail = ((world.log_moment(sign * gains, s) + 36)", "tail = ((world.log_moment(sign * gains, s) + 6)"),
    ("features/_sets", "jnp.where(u <= density, ", "jnp.where(u > density, "),
    ("features/_sets", "jnp.minimum(u / safe, 1.0)", "jnp.minimum(u, 1.0)"),
    ("features/_sets", "return jnp.where(active[_set_of(self.sizes)], values, 0.0).T", "return jnp.where(active[_set_of(self.sizes)], values[:1], 0.0).T"),
    ("features/_sets", "(chosen[set_of] == place[:, None].astype(np.int32))", "(chosen[set_of] != place[:, None].astype(np.int32))"),
    ("features/_sets", "(self.set_density / double(self.sizes))", "self.set_density"),
    ("features/_sets", "return self.set_density[_set_of(self.sizes)]", "return self.set_density[_set_of(self.sizes)] ** 2"),
    ("features/_sets", "return -jnp.expm1(jnp.cumsum(jnp.log1p(-density)))", "return jnp.cumsum(density)"),
    ("features/_sets", "jnp.where(reached, 1.0, _as_sampled(density))", "_as_sampled(density)"),
    ("features/_hierarchy", "(u <= _column(start + chance))", "(u <= _column(start))"),
    ("features/_hierarchy", "value * x[above] if law.scaled", "value * value if law.scaled"),
    ("features/_hierarchy", "on = on & active[above]", "on = on"),
    ("features/_hierarchy", "jnp.outer(given, given) * more", "more"),
    ("features/_copula", "jnp.sqrt(jnp.maximum(1 - (loadings**2).sum(axis=1), 0.0))", "jnp.ones(len(loadings))"),
    ("features/_copula", "a**2 + b**2 - 2 * a * b * sin", "a**2 + b**2 - a * b * sin"),
    ("features/_counted", "jnp.where(active[chosen, every], last, chosen)", "chosen"),
    ("features/_law", "self.joint_density - jnp.outer(p, p)", "self.joint_density"),
    ("forests", "here = jnp.where(barred, 0.0, here)", "here = here"),
    ("exact/_trees", "2 * m * below_mean", "m * below_mean"),
    ("exact/_trees", "shift = along / jnp.where(only > 0, only, 1.0) - self.above(moved)", "shift = along / jnp.where(only > 0, only, 1.0)"),
    ("exact/_trees", "total = total - (few[0]", "total = total + (few[0]"),
    ("models", "h = h + self.hidden_bias", "h = h - self.hidden_bias"),
    ("models", "self.b + self.readout @ self.hidden_bias", "self.b"),
    ("models", "return self.readout @ self.W, c", "return self.W.T @ self.W, c"),
    ("models", "longer = (length[:, None] > length[None]).sum(axis=0)", "longer = (length[:, None] < length).sum(axis=0)"),
    ("models", "return scale * math.sqrt(2 / (n_features + n_hidden))", "return scale * math.sqrt(1 / (n_features + n_hidden))"),
    ("losses", "error.mean(axis=1) if weight is None", "error.mean(axis=1) if True"),
    ("losses", "return jnp.broadcast_to(jnp.asarray(importance, error.dtype), mean.shape) @ mean", "return mean.sum()"),
    ("losses", "return chance * self._of(model, x, importance) + (1 - chance) * silent", "return chance * self._of(model, x, importance) + silent"),
    ("losses", "activation, method, harmonics)\n    return importance @ errors", "activation, method, harmonics)\n    return errors.sum()"),
    ("attacks", "A / jnp.sqrt(jnp.where(there, square, 1.0))", "A / jnp.where(there, square, 1.0)"),
    ("losses", "return (1 - p) * chances + p *", "return chances + p *"),
    ("train/_basins", "SAME_LOSS = 1e-5", "SAME_LOSS = 1e-4"),
    ("train/_basins", "SAME_WEIGHTS = 1e-3", "SAME_WEIGHTS = 1e-1"),
    ("train/_basins", "squares = (A[here] ** 2).sum(axis=2)", "squares = 0 * c[here]"),
    ("train/_basins", "np.maximum(np.maximum(A * low, A * high), 0)", "np.maximum(A * high, 0)"),
    ("train/_basins", "near = np.eye(n, dtype=int) + (sets[:, None] == sets)", "near = 1 * (sets[:, None] == sets)"),
    ("train/_basins", "missed=1 - 0.05 ** (1 / count)", "missed=1 - 0.5 ** (1 / count)"),
    ("train/_basins", "reached=lowest.mean(axis=1)", "reached=lowest.sum(axis=1) / count"),
    ("train/_basins", "second / best - 1", "second - best"),
    ("train/_minimize", "outcome=jnp.select(ends", "outcome=jnp.select(ends[::-1]"),
    ("train/_minimize", "flat = jnp.abs(new.g).max() <= tolerance * scale", "flat = jnp.abs(new.g).min() <= tolerance * scale"),
    ("train/_minimize", "return jnp.linalg.eigvalsh((H + H.T) / 2)", "return jnp.linalg.eigvalsh((H + H.T) / 4)"),
    ("train/_minimize", "np.abs(ends[\"g\"]).max(axis=1) / ends[\"scale\"]", "np.abs(ends[\"g\"]).max(axis=1)"),
    ("train/_fit", "history.append(total / (stop - since))", "history.append(total / window)"),
    ("train/_fit", "np.concatenate(leaves)[:members]", "np.concatenate(leaves)[-members:]"),
    ("train/_fit", "np.minimum(np.arange(block * size, (block + 1) * size), members - 1)", "np.minimum(np.arange(block * size, (block + 1) * size), members - 2)"),
    ("exact/_outputs", "c + world.most(gains, low, high) <= 0", "c <= 0"),
    ("exact/_outputs", "4e-15 * (tt +", "4e-18 * (tt +"),
    ("measures", "(length > array(threshold, \"threshold\")).sum(", "(length >= 0).sum("),
    ("measures", "((W / scale[None]) ** 2).sum(axis=0)", "((W / scale[None]) ** 2).sum()"),
    ("measures", "W.shape[0] / (W**2).sum()", "W.shape[1] / (W**2).sum()"),
    ("measures", "(jnp.abs(W) > array(threshold, \"threshold\")).sum(axis=1)", "(W > array(threshold, \"threshold\")).sum(axis=1)"),
    ("measures", "takes = -W_out[b] * np.maximum(W[:, a]", "takes = -W_out[b] * np.maximum(W[:, b]"),
    ("measures", "reads_a >= ratio * reads_b and adds_b >= ratio * adds_a", "reads_a >= ratio * reads_b"),
    ("attacks", "moves = jnp.concatenate([ahead, -ahead])", "moves = ahead"),
    ("attacks", "jnp.linalg.norm(x, axis=0).mean()", "jnp.linalg.norm(x, axis=1).mean()"),
    ("curves", "np.searchsorted(steps, steps * factor, side=\"right\")", "np.searchsorted(steps, steps * factor, side=\"left\")"),
    ("curves", "if change[pair] > size]", "if change[pair] >= size]"),
    ("curves", "if steps[b] >= factor * steps[a]:", "if steps[b] > factor * steps[a]:"),
    ("curves", "change[c, d] >= 0.9 * change[a, b]", "change[c, d] >= 0.5 * change[a, b]"),
    ("polytopes", "flat = np.sqrt(1 - height**2)", "flat = (1 - height**2)"),
    ("polytopes", "np.where(feature == k, -k, 0.0)", "np.where(feature == k, k, 0.0)"),
    ("polytopes", "0.4**2, 0.75**2", "0.0, 1.0"),
    ("polytopes", "2 * costs[0] / (k * (k - 1))", "costs[0] / (k * (k - 1))"),
    ("theory", "return importance * (density / 3 - density**2 / 4)", "return importance * (density / 3 - density**2 / 3)"),
    ("theory", "return (importance + other) * density**2 / 6", "return (importance + other) * density**2 / 3"),
    ("theory", "near / 4 + near**3 / 24", "near / 4 - near**3 / 24"),
    ("theory", "above = 4 / (5 + 2 * r)", "above = 4 / (2 + 5 * r)"),
    ("theory", "importance * ((gram**2).sum(axis=1) - own**2)", "(gram**2).sum(axis=1) - own**2"),
    ("theory", "return (level + 0.5) / levels, levels * t - level", "return level / levels, levels * t - level"),
    ("solutions", "self.lift * height", "self.lift"),
    ("solutions", "* (k / d)[:, None]", "* k[:, None]"),
    ("dictionaries/_autoencoders", "return self.penalty * z.sum(axis=0)", "return 0 * z.sum(axis=0)"),
    ("dictionaries/scores", "return _largest(T, D, live, signed)[0]", "return -_largest(T, D, live, signed)[0]"),
    ("dictionaries/_autoencoders", "residual = h - sae.written(z)", "residual = h + sae.written(z)"),
    ("grid", "return data.isel(member=data.loss.argmin(\"member\"))", "return data.isel(member=data.loss.argmax(\"member\"))"),
    ("grid", "indexing=\"ij\"", "indexing=\"xy\""),
    ("claims", "return self.holds + self.differs + self.fails", "return self.holds + self.differs + self.fails + self.open"),
    ("claims", "(self.low <= values) & (values <= self.high)", "(self.low <= values) | (values <= self.high)"),
    ("claims", "\"open\" if small and not self.quick", "\"open\" if small or not self.quick"),
    ("store/_replace", "            left.rename(shop.place)", "            pass"),
    ("store/_replace", "if name in ours or _inode(file) in there:", "if True:"),
    ("memory", "return min(left, max(most - used, 0))", "return left"),
]  # fmt: skip


def caught(mutant) -> str:
    """The first test that fails, or nothing where all pass."""
    module, old, new = mutant
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("superpose", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        path = copy / "superpose" / f"{module}.py"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(old, new), encoding="utf-8")
        tests = [f"tests/test_{name}.py" for name in TESTS[module]]
        command = [
            sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider",
            "--doctest-modules", *tests, f"superpose/{module}.py",
        ]  # fmt: skip
        cache = Path(tempfile.gettempdir()) / "superpose-mutants-cache"
        env = {
            **os.environ, "PYTHONPATH": folder, "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }  # fmt: skip
        done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True)
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return (failed or [f"exit status {done.returncode}"])[0] if done.returncode else ""


def main(words) -> int:
    for module, old, new in MUTANTS:
        count = (ROOT / "superpose" / f"{module}.py").read_text(encoding="utf-8").count(old)
        if count < 1 or old == new:
            raise SystemExit(f"{module}: {old!r} is there {count} times; bring the list up to date")
    chosen = [mutant for mutant in MUTANTS if not words or any(word in " ".join(mutant) for word in words)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        survived = 0
        for (module, old, new), by in zip(chosen, pool.map(caught, chosen), strict=True):
            survived += not by
            print(f"{'caught' if by else 'SURVIVED':9} {module}: {old} -> {new}  {by[:90]}", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} caught")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
