"""What processes use: memory, processor time, and disk."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """The memory of a process and its children, in bytes.

    `rss_bytes` counts pages that they share once; `service_rss_bytes` and `children_rss_bytes` (of
    Chroma) count them in each. `highest_rss_bytes` is the sum of each process's own highest value,
    which is never too low. Of that sum `of_the_service_bytes`, `of_the_index_bytes` and
    `of_the_largest_bytes` are the parts of the process itself, of its children and of the largest.
    """

    rss_bytes: int
    service_rss_bytes: int
    children_rss_bytes: int
    highest_rss_bytes: int
    of_the_service_bytes: int
    of_the_index_bytes: int
    of_the_largest_bytes: int
    processes: int


@dataclass(frozen=True, slots=True)
class DiskUse:
    """The bytes of a data folder by part."""

    turn_log: int
    chroma: int
    total: int


@dataclass(frozen=True, slots=True)
class _ProcessMemory:
    """Fields of /proc, in bytes: resident, proportional, and the highest resident so far."""

    resident: int
    proportional: int
    highest: int


def memory_of(pid: int) -> MemoryUse | None:
    """Return the memory of a process and its children; None where it cannot be read."""
    processes = [
        memory for process in _process_tree(pid) if (memory := _process_memory(process)) is not None
    ]
    if not processes:
        return None
    service, *children = processes
    return MemoryUse(
        rss_bytes=sum(process.proportional for process in processes),
        service_rss_bytes=service.resident,
        children_rss_bytes=sum(child.resident for child in children),
        highest_rss_bytes=sum(process.highest for process in processes),
        of_the_service_bytes=service.highest,
        of_the_index_bytes=sum(child.highest for child in children),
        of_the_largest_bytes=max(process.highest for process in processes),
        processes=len(processes),
    )


def cpu_seconds(pid: int) -> float | None:
    """Return the processor time that a process has used, without its children; None if unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return None
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def reset_highest_memory() -> None:
    """Reset the highest memory of this process, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def disk_use(folder: Path) -> DiskUse:
    """Return the bytes in a data folder by part."""
    sizes = {
        path.relative_to(folder): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
    return DiskUse(
        turn_log=sum(size for path, size in sizes.items() if path.name.startswith("turn_log")),
        chroma=sum(size for path, size in sizes.items() if path.parts[0] == "chroma"),
        total=sum(sizes.values()),
    )


def _process_tree(pid: int) -> list[int]:
    """Return a process and all its descendants, itself first."""
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text(encoding="ascii").split()
        ]
    except OSError:
        children = []
    return [pid, *(process for child in children for process in _process_tree(child))]


def _process_memory(pid: int) -> _ProcessMemory | None:
    try:
        lines = [
            line
            for name in ("status", "smaps_rollup")
            for line in Path(f"/proc/{pid}/{name}").read_text(encoding="ascii").splitlines()
        ]
    except OSError:
        return None
    fields = {field: value for field, _, value in (line.partition(":") for line in lines)}
    try:
        return _ProcessMemory(*(_kilobytes(fields[name]) for name in ("VmRSS", "Pss", "VmHWM")))
    except KeyError:
        return None


def _kilobytes(value: str) -> int:
    """Return the bytes of a value such as `1234 kB`."""
    return int(value.split(maxsplit=1)[0]) * 1024
