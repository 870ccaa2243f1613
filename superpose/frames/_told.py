"""What `superpose measure` says: numbers beside those of random vectors, as a dictionary for JSON and as a table."""

import math
from collections import Counter
from typing import Any

import numpy as np

from superpose.frames import chance
from superpose.frames._measured import MOST_CORNERS, MOST_TRIED, Measured

SCHEMA = 1
AT = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
"""Quantiles that are told."""
MOST_CLUSTERS, MOST_MEMBERS = 100, 50
"""How many clusters are told, and how many vectors of each."""


def told(found: Measured, drawn: chance.Sample) -> dict[str, Any]:
    """All that JSON has of the measured; `docs/measure.md` says what each is."""
    there = found.dimensionality > 0
    quantiles = {
        "norm": {"here": found.norms},
        "interference": {
            "here": found.interference[there],
            "random": chance.interference(found.norms, found.hidden)[there],
        },
        "dimensionality": {
            "here": found.dimensionality[there],
            "random": chance.dimensionality(found.norms, found.hidden)[there],
            "sample": drawn.dimensionality,
        },
        "nearest": {"here": np.abs(found.cosine[np.isfinite(found.cosine)]), "sample": drawn.nearest},
    }
    known = {name: {of: _quantiles(each) for of, each in of.items()} for name, of in quantiles.items()}
    known["nearest"]["random"] = [
        chance.nearest(found.directed, found.hidden, min(max(q, 1e-12), 1 - 1e-12)) for q in AT
    ]
    return {
        "vectors": len(found.norms),
        "dimensions": found.hidden,
        "directed": found.directed,
        "centered": found.centered,
        "numbers": numbers(found, drawn),
        "quantiles": {"at": list(AT), **known},
        "cosines": {
            "low": -1.0,
            "high": 1.0,
            "here": found.cosines.tolist(),
            "sample": drawn.cosines.tolist(),
        },
        "singular": None if found.singular is None else found.singular.tolist(),
        "clusters": clusters(found),
        "polytopes": [each._asdict() for each in found.polytopes],
    }


def _quantiles(values) -> list[float]:
    with np.errstate(invalid="ignore"):  # of infinite ones
        return np.quantile(values, AT).tolist() if len(values) else [math.nan] * len(AT)


def numbers(found: Measured, drawn: chance.Sample) -> dict[str, dict[str, Any]]:
    """Each number `here`, of `random` vectors by theory, and of a `sample` of them; `between` has 90% of random ones."""
    n, m, norms = found.directed, found.hidden, found.norms
    pairs, least = n * (n - 1), chance.least_potential(n, m) if n else math.nan
    potential, spread = chance.frame_potential(n, m), 1.645 * chance.frame_potential_std(n, m)
    between = [max(potential - spread, least), potential + spread]
    sampled = n * drawn.potential.mean() if len(drawn.potential) else math.nan
    spectrum = drawn.spectrum
    largest = chance.coherence(n, m)
    there = found.dimensionality > 0
    # Theory knows the mean of D_i to the leading order: well where lengths are alike, and not where some are much longer.
    excess = chance.excess(norms, m)[there]
    random = chance.dimensionality(norms, m)[there] * (1 + excess)
    known = _mean(excess) < 0.05
    few, star = min(n, m), found.dimensions_per_feature

    def each(here, random=math.nan, sample=math.nan, between=None) -> dict[str, Any]:
        return {"here": float(here), "random": float(random), "sample": float(sample), "between": between}

    def rms(potential):
        return math.sqrt(max(potential - n, 0.0) / pairs) if pairs else math.nan

    return {
        "dimensions_per_feature": each(
            # It is about lengths near 1, and says nothing where they are others.
            star,
            m / n if 0.9 * n * star < m < 1.1 * n * star else math.nan,
        ),
        "dimensionality_mean": each(
            _mean(found.dimensionality[there]),
            _mean(random) if known else math.nan,
            _mean(drawn.dimensionality),
        ),
        "dimensionality_sum": each(
            found.dimensionality.sum(), random.sum() if known else math.nan, n * _mean(drawn.dimensionality)
        ),
        "frame_potential": each(found.frame_potential, potential, sampled, between),
        "tightness": each(
            found.frame_potential / least,
            potential / least,
            sampled / least,
            [each / least for each in between],
        ),
        "coherence": each(
            found.coherence, largest, between=[chance.coherence(n, m, q) for q in (0.05, 0.95)]
        ),
        "least_coherence": each(chance.least_coherence(n, m)),
        "nearest_median": each(_median(np.abs(found.cosine)), chance.nearest(n, m), _median(drawn.nearest)),
        "mean_cosine": each(found.mean_cosine, 0.0 if pairs else math.nan),
        "rms_cosine": each(rms(found.frame_potential), rms(potential), rms(sampled)),
        "links_per_vector": each(
            2 * found.links / n if n else math.nan, (n - 1) * chance.beyond(found.link, m) if n else math.nan
        ),
        "mean_share": each(found.mean_share, 0.0 if found.centered else 1 / len(norms)),
        "first_share": each(
            found.first_share, sample=spectrum[0] / spectrum.sum() * len(spectrum) / few if n else math.nan
        ),
        "participation": each(
            found.participation,
            chance.participation(norms, m),
            _participation(spectrum) / len(spectrum) * few,
        ),
        "effective_rank": each(found.effective_rank, sample=_effective_rank(spectrum) / len(spectrum) * few),
    }


def _mean(values) -> float:
    return float(values.mean()) if len(values) else math.nan


def _median(values) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else math.nan


def _participation(spectrum) -> float:
    return float(spectrum.sum() ** 2 / np.square(spectrum).sum()) if spectrum.any() else math.nan


def _effective_rank(spectrum) -> float:
    share = np.sqrt(spectrum[spectrum > 0])
    share = share / share.sum() if len(share) else share
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else math.nan


def clusters(found: Measured) -> dict[str, Any]:
    """How many clusters there are, of which sizes, and who is in the largest."""
    sizes = np.bincount(found.cluster[found.cluster >= 0])
    small = int(((sizes > 1) & (sizes <= MOST_CORNERS)).sum())
    members = [
        np.flatnonzero(found.cluster == k)[:MOST_MEMBERS].tolist()
        for k in range(min(len(sizes), MOST_CLUSTERS))
    ]
    return {
        "link": found.link,
        "links": found.links,
        "count": len(sizes),
        "vectors": int(sizes.sum()),
        "sizes": sizes.tolist(),
        "members": members,
        "polytopes_tried": min(small, MOST_TRIED),
        "polytopes_not_tried": len(sizes) - min(small, MOST_TRIED),
    }


ROWS = (
    ("dimensions_per_feature", "D*, dimensions for each vector, at length 1"),
    ("dimensionality_mean", "D_i, the share of a dimension, mean"),
    ("dimensionality_sum", "D_i, sum over all vectors"),
    ("tightness", "frame potential over the Welch bound"),
    ("mean_cosine", "cosine of two vectors, mean"),
    ("rms_cosine", "cosine of two vectors, root mean square"),
    ("nearest_median", "|cos| with the nearest, median"),
    ("coherence", "|cos|, the largest"),
    ("links_per_vector", "links of a vector, |cos| > {link:g}, mean"),
    ("mean_share", "share of the mean vector"),
    ("first_share", "share of the first principal direction"),
    ("participation", "participation ratio of the spectrum"),
    ("effective_rank", "effective rank"),
)


def table(result: dict[str, Any]) -> str:
    """The numbers in lines, with those of random vectors beside, and what is said of lengths, clusters and polytopes."""
    lines = [f"  {'':<46}{'here':>11}{'random':>11}{'drawn':>11}"]
    for name, label in ROWS:
        number = result["numbers"][name]
        values = "".join(f"{_digits(number[of]):>11}" for of in ("here", "random", "sample"))
        lines.append(f"  {label.format(link=result['clusters']['link']):<46}{values}".rstrip())
    return "\n".join([*lines, *(f"  {line}" for line in _words(result))]) + "\n"


def _digits(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:.3g}"


def _words(result) -> list[str]:
    said = [f"random: such lengths in random directions, by theory; drawn: {result['probes']:,} of as many"]
    at = result["quantiles"]["at"]
    low, middle, high = (result["quantiles"]["norm"]["here"][at.index(q)] for q in (0.05, 0.5, 0.95))
    said += [f"lengths: median {_digits(middle)}, nine of ten from {_digits(low)} to {_digits(high)}"]
    if between := result["numbers"]["coherence"]["between"]:
        low, high = map(_digits, between)
        said += [f"the largest |cos| of random ones: nine of ten from {low} to {high}"] * bool(low)
    lost = result["vectors"] - result["directed"]
    if lost:
        said.append(f"without a direction: {lost:,}, shorter than a millionth of the longest")
    found = result["clusters"]
    sizes = found["sizes"]
    said.append(
        f"clusters: {found['count']:,} with {found['vectors']:,} vectors, the largest of {sizes[0]:,}"
        if sizes
        else "clusters: none"
    )
    names = Counter(each["name"] for each in result["polytopes"])
    unnamed = names.pop("unnamed", 0)
    told = ", ".join(f"{count:,} {_plural(name, count)}" for name, count in names.most_common())
    tried = found["polytopes_tried"]
    if tried:
        said.append(
            f"polytopes: {told or 'none'} among {tried:,} cluster{'s' * (tried > 1)} of 2 to {MOST_CORNERS} vectors"
            + (f" ({unnamed:,} are like none)" if unnamed and told else "")
        )
    if found["polytopes_not_tried"]:
        said.append(
            f"clusters not compared with polytopes, too large or too many: {found['polytopes_not_tried']:,}"
        )
    return said


def _plural(name, count) -> str:
    if count == 1:
        return name
    return (
        name.removesuffix("on") + "a"
        if name.endswith("hedron")
        else f"{name}s"
        if not name.endswith("x")
        else f"{name.removesuffix('x')}ces"
    )
