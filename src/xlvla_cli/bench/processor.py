"""How much of a processor a process used."""

import os
from pathlib import Path


def processor_s(pid: int) -> float:
    """Processor time [s] that a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
