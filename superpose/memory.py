"""What fits into memory: known before the work, and said in one line."""

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def free() -> int:
    """Bytes of memory that this process can still take: what the machine has left, or what its container allows.

    Where neither can be known (on systems other than Linux), all memory of the machine.

    >>> free() > 2**20
    True
    """
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        left = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**63
    try:
        most, used = (
            int((_CGROUP / f"memory.{name}").read_text(encoding="ascii")) for name in ("max", "current")
        )
    except (OSError, ValueError):  # no container, or one without a limit
        return left
    return min(left, max(most - used, 0))


def check(needed: float, what: str, remedy: str) -> None:
    """Raise MemoryError, in one line, unless `needed` bytes are free.

    >>> check(1e18, "an ensemble of 10000000000 models", "ask for fewer members")
    Traceback (most recent call last):
    ...
    MemoryError: an ensemble of 10000000000 models needs about 1000 PB of memory...; ask for fewer members
    """
    left = free()
    if needed > left:
        raise MemoryError(
            f"{what} needs about {bytes_in_words(needed)} of memory, and {bytes_in_words(left)} are free; {remedy}"
        )


def exhausted(error: Exception) -> bool:
    """Whether an error says that memory ran out: Python's, NumPy's or JAX's.

    >>> exhausted(MemoryError()), exhausted(ValueError("no"))
    (True, False)
    """
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def why(error: Exception) -> str:
    """Such an error in one line.

    >>> why(MemoryError("Unable to allocate 8.00 TiB for an array"))
    'not enough memory: Unable to allocate 8.00 TiB for an array; give smaller sizes'
    """
    line = str(error).partition("\n")[0] or type(error).__name__
    return line if "are free; " in line else f"not enough memory: {line}; give smaller sizes"


def bytes_in_words(size: float) -> str:
    """A number of bytes in words.

    >>> bytes_in_words(15), bytes_in_words(2.5e9), bytes_in_words(1.2e13)
    ('15 B', '2.5 GB', '12 TB')
    """
    units = ("B", "kB", "MB", "GB", "TB", "PB")
    for unit in units:
        if size < 999.5 or unit == units[-1]:
            break
        size /= 1000
    return f"{size:.{max(0, 2 - len(str(int(size))))}f} {unit}" if size < 10 else f"{size:.0f} {unit}"
