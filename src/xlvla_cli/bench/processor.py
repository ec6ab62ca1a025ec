"""How much of a processor a process used."""

import os

from xlvla.node_process import process_statistics


def processor_s(pid: int) -> float:
    """Processor time [s] that a process has used, all its threads together."""
    fields = process_statistics(pid)
    ticks = int(fields[11]) + int(fields[12])  # in user and in kernel mode
    return ticks / os.sysconf("SC_CLK_TCK")
