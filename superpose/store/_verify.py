"""Looking through a folder for what is no longer as superpose wrote it."""

import os
from dataclasses import dataclass
from pathlib import Path

from superpose.store._datasets import DATA, ROOT, dataset_faults, faults, is_sealed
from superpose.store._files import read_json
from superpose.store._manifest import CONFIG, MANIFEST, is_old, listed

RESULTS, REPORT = "results", "report.json"
"""In a report: the folder of its results, and what it shows of them."""


@dataclass(frozen=True)
class Verified:
    """What was found in one result, report or dataset: files that are missing or damaged, by name."""

    path: Path
    """Where it is."""
    faults: dict[str, str]
    """What each file that is not as it was written is: "missing" or "damaged"."""
    checksums: bool
    """Whether it has any; older versions wrote none, and a changed number cannot be detected without."""


def verified(folder: Path) -> list[Verified]:
    """Every result, report and dataset that `folder` is or holds, compared with the hashes of what was written.

    Raises FileNotFoundError where there are none.

    >>> from tempfile import TemporaryDirectory
    >>> import xarray as xr
    >>> from superpose.store import save
    >>> with TemporaryDirectory() as folder:
    ...     save(xr.Dataset({"loss": ("member", [0.5, 0.25])}), Path(folder) / "losses.zarr")
    ...     [found] = verified(Path(folder))
    >>> found.faults, found.checksums
    ({}, True)
    """
    results = _there(folder) or [one for child in _children(folder) for one in _there(child)]
    if not results:
        raise FileNotFoundError(
            f"{folder} holds nothing to verify; give a result, a folder of results or a report"
        )
    return results


def _there(folder: Path) -> list[Verified]:
    """What the folder itself is, a report with its results; nothing for any other folder."""
    if (folder / ROOT).is_file():
        return [_dataset(folder)]
    files = listed(folder)
    if CONFIG in (files or {}) or (folder / DATA).is_dir() or is_old(folder):
        return [_result(folder)]
    results = [_result(child) for child in _children(folder / RESULTS) if _is_result(child)]
    return ([_report(folder)] if (folder / MANIFEST).is_file() else []) + results


def _children(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [folder / name for name in sorted(os.listdir(folder)) if name[0] != "."]


def _is_result(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() or (folder / DATA).is_dir() or is_old(folder)


def _report(folder: Path) -> Verified:
    """What was found in a report's own files; a missing result is one of its faults."""
    wrong = faults(folder) if listed(folder) is not None else {MANIFEST: "damaged"}
    report = read_json(folder / REPORT)
    if isinstance(report, dict) and REPORT not in wrong:
        done = [each["name"] for each in report.get("experiments", []) if not each["error"]]
        wrong |= {f"{RESULTS}/{name}": "missing" for name in done if not _is_result(folder / RESULTS / name)}
    return Verified(folder, wrong, True)


def _result(folder: Path) -> Verified:
    wrong = faults(folder)
    old = listed(folder) is None and MANIFEST not in wrong
    return Verified(folder, wrong, not old)


def _dataset(store: Path) -> Verified:
    return Verified(store, dataset_faults(store), is_sealed(store))
