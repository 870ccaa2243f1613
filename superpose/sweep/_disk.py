"""A sweep on disk: a Zarr group with an array for each variable, and in it a chunk for each task.

A task writes one whole chunk of each array, each by a file that is renamed into place; that of the last array says that
the task is done. Nothing else is ever written twice with other bytes, so that any number of processes may work
at once, and any of them may end at any moment. What describes the arrays follows from the plan, which is there
twice: in `sweep.json` and among the group's attributes.
"""

import json
import os
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import LocalStore, MemoryStore

from superpose.store import DamagedError, read_json
from superpose.sweep import _plan
from superpose.sweep._plan import Place, Plan, Source

PLAN, DATA, FAILED, ROOT = "sweep.json", "data.zarr", "failed", "zarr.json"
OTHERS = "other-code"
ATTRIBUTE = "superpose_sweep"
PARTIAL = ".partial"
_OPENING = Lock()  # Zarr's settings are those of all threads


def metadata(plan: Plan) -> dict[str, bytes]:
    """Every file of a sweep but its chunks and its failures: they follow from the plan."""
    memory = MemoryStore()
    group = zarr.create_group(memory, attributes=plan.attrs | {ATTRIBUTE: plan.text})
    codecs = (ZstdCodec(), Crc32cCodec())
    for axis, values in plan.axes.items():
        of = np.array(values, dtype=None if not isinstance(values[0], str) else np.dtypes.StringDType())
        group.create_array(axis, data=of, compressors=codecs, dimension_names=(axis,))
    for name, each in plan.variables.items():
        group.create_array(
            name,
            shape=(*plan.shape, *each.shape),
            chunks=(*plan.chunk, *(max(1, n) for n in each.shape)),
            dtype=each.dtype,
            fill_value=np.nan,
            compressors=codecs,
            dimension_names=(*plan.axes, *each.dims),
        )
    store = memory._store_dict
    files = {f"{DATA}/{name}": bytes(value.to_bytes()) for name, value in store.items()}
    return {PLAN: plan.text.encode()} | files


def begun(folder: Path, plan: Plan) -> Plan:
    """Make the folder of a new sweep; returns its plan, which is another's where another process was earlier."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{PLAN}.{os.getpid()}-{os.urandom(4).hex()}{PARTIAL}"
    try:
        new.write_bytes(plan.text.encode())
        with suppress(FileExistsError):
            os.link(new, folder / PLAN)
    finally:
        new.unlink(missing_ok=True)
    plan = plan_of(folder)
    # The plan is first: where only it is there, the rest can be made again.
    for name, content in metadata(plan).items():
        if name != PLAN:
            put(folder / name, content)
    return plan


def put(path: Path, content: bytes) -> None:
    """A file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}{PARTIAL}")
    try:
        new.write_bytes(content)
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def is_sweep(folder: Path) -> bool:
    return (folder / PLAN).is_file() or ATTRIBUTE in (
        (read_json(folder / DATA / ROOT) or {}).get("attributes") or {}
    )


def is_half_begun(folder: Path) -> bool:
    """Whether a process died here before it could say what the sweep is: then nothing of it is there."""
    return all(path.name.startswith(f"{PLAN}.") and path.suffix == PARTIAL for path in folder.iterdir())


def plan_of(folder: Path) -> Plan:
    """The plan of the sweep in a folder.

    Raises FileNotFoundError where there is none, and DamagedError where both copies are damaged.
    """
    root = read_json(folder / DATA / ROOT)
    attributes = root.get("attributes") if isinstance(root, dict) else None
    copies = [attributes.get(ATTRIBUTE)] if isinstance(attributes, dict) else []
    with suppress(OSError, ValueError):
        copies.insert(0, (folder / PLAN).read_text(encoding="utf-8"))
    texts = [each for each in copies if isinstance(each, str)]
    if not texts:
        if folder.is_file():
            zipped = (
                "; sweep.opened reads it, and unzipped it is a folder" if zipfile.is_zipfile(folder) else ""
            )
            raise FileNotFoundError(f"{folder} is a file, not the folder of a sweep{zipped}")
        inside = folder.name == DATA
        raise FileNotFoundError(
            f"{folder} holds no sweep; "
            + (
                "its folder is the one above"
                if inside
                else f"`superpose sweep FILE.py --out {folder}` makes one, as soon as its first cells have been tried"
            )
        )
    said = ""
    for text in texts:
        try:
            return _plan.read(text)
        except ValueError as error:
            said = said or str(error)
    raise DamagedError(f"{folder / PLAN} {said}")


def write(
    folder: Path, plan: Plan, place: Place, arrays: dict[str, np.ndarray], failed: dict[str, str]
) -> None:
    """The chunk of each variable, and what failed in them; last that which says that all are there."""
    for name in plan.variables:
        if name == plan.last:
            note(folder, place, failed)
        region = (*plan.region(place), *(slice(0, n) for n in plan.variables[name].shape))
        array(folder, name, read_only=False)[region] = arrays[name]


def note(folder: Path, place: Place, failed: dict[str, str]) -> None:
    """Which cells of a chunk failed, and why; nothing is left where none did."""
    file = folder / FAILED / f"{'.'.join(map(str, place))}.json"
    if failed:
        put(file, json.dumps(failed, indent=1).encode())
    else:
        file.unlink(missing_ok=True)


def note_code(folder: Path, different: list[str], source: Source) -> None:
    """Other code than the plan's makes chunks from now on: how it differs, and its text."""
    told = {"different": different, "since": time.strftime("%Y-%m-%d %H:%M:%S"), "source": asdict(source)}
    name = _plan.hash_of(json.dumps([different, source.hash]))[:16]
    if not (folder / OTHERS / f"{name}.json").is_file():
        put(folder / OTHERS / f"{name}.json", json.dumps(told, indent=1).encode())


def other_code(folder: Path) -> list[str]:
    """In what the code that made some chunks differs from the plan's."""
    told = [read_json(file) for file in sorted((folder / OTHERS).glob("*.json"))]
    return [each for one in told if isinstance(one, dict) for each in one.get("different", [])]


def failures(folder: Path) -> dict[Place, dict[str, str]]:
    """What failed, by chunk and, in it, by cell: its place in C order, or `chunk` for all of them."""
    found = {}
    for file in sorted((folder / FAILED).glob("*.json")):
        place = tuple(int(part) for part in file.stem.split(".") if part.isdigit())
        told = read_json(file)
        found[place] = (
            told if isinstance(told, dict) else {"chunk": "what failed here is lost: the note is damaged"}
        )
    return found


def array(folder: Path, name: str, read_only: bool = True) -> zarr.Array:
    """One array of a sweep; chunks of nothing but NaN are written, too: they say that they are done."""
    store = LocalStore(folder / DATA, read_only=read_only)
    with _OPENING, zarr.config.set({"array.write_empty_chunks": True}):
        return zarr.open_array(store, path=name, mode="r" if read_only else "r+")


def present(folder: Path, plan: Plan, name: str | None = None) -> set[Place]:
    """The chunks that a variable has: of the last one, unless it is named, so that they are done."""
    name = name or plan.last
    leaf = "/".join("0" for _ in plan.variables[name].dims)
    return set(_below(folder / DATA / name / "c", len(plan.axes), leaf, ()))


def _below(folder: Path, depth: int, leaf: str, place: Place) -> Iterator[Place]:
    # Axes after those of the sweep are one chunk, in a folder more for each.
    if depth == 0:
        if not leaf or (folder / leaf).is_file():
            yield place
        return
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.isdigit()]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        yield from _below(folder / name, depth - 1, leaf, (*place, int(name)))


def chunk_file(plan: Plan, name: str, place: Place) -> str:
    """Where the chunk of a variable is, from the sweep's folder."""
    return "/".join([DATA, name, "c", *map(str, place), *("0" for _ in plan.variables[name].dims)])


class Faults(NamedTuple):
    """What is wrong with a sweep on disk."""

    files: dict[str, str]
    """Files that are missing or damaged."""
    places: set[Place]
    """Chunks that are not whole, though they were done."""


def faults(
    folder: Path, plan: Plan, places: Iterable[Place] | None = None, advanced=lambda done: None
) -> Faults:
    """What is missing or damaged, found by reading the chunks of all `places` that are done.

    Attributes that others add, and consolidated metadata, are no faults.
    """
    wrong = {
        name: "damaged" if (folder / name).exists() else "missing"
        for name, content in metadata(plan).items()
        if not _same(folder / name, content)
    }
    there = {name: present(folder, plan, name) for name in plan.variables}
    done = there[plan.last] if places is None else there[plan.last] & set(places)
    ill = set()
    unreadable = {name for name in plan.variables if f"{DATA}/{name}/{ROOT}" in wrong}
    arrays = {name: array(folder, name) for name in plan.variables if name not in unreadable}
    for at, place in enumerate(sorted(done)):
        for name in plan.variables:
            if place not in there[name]:
                wrong[chunk_file(plan, name, place)] = "missing"
                ill.add(place)
            elif name in arrays and not _reads(arrays[name], plan, name, place):
                wrong[chunk_file(plan, name, place)] = "damaged"
                ill.add(place)
        advanced(at + 1)
    return Faults(wrong, ill)


def _reads(of: zarr.Array, plan: Plan, name: str, place: Place) -> bool:
    try:
        of[(*plan.region(place), *(slice(0, n) for n in plan.variables[name].shape))]
    except MemoryError:
        raise
    except Exception:  # Zarr and its codecs may raise anything
        return False
    return True


def _same(file: Path, content: bytes) -> bool:
    if file.name != ROOT:
        try:
            return file.read_bytes() == content
        except OSError:
            return False
    found, ours = read_json(file), json.loads(content)
    if not isinstance(found, dict) or not isinstance(found.get("attributes", {}), dict):
        return False
    own = ours.pop("attributes", {})
    return own.items() <= found.get("attributes", {}).items() and ours.items() <= found.items()


def mend(folder: Path, plan: Plan, wrong: Faults) -> None:
    """Write what follows from the plan again, and take back that damaged chunks are done, so that they are made again."""
    ours = metadata(plan)
    for name in wrong.files:
        if name in ours:
            put(folder / name, ours[name])
    for place in wrong.places:
        (folder / chunk_file(plan, plan.last, place)).unlink(missing_ok=True)


def sweep_up(folder: Path) -> None:
    """Remove what processes that died had half written; to be called when nothing is left to do."""
    for file in folder.rglob(f"*{PARTIAL}"):
        with suppress(OSError):
            file.unlink()
