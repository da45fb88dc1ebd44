"""Resident memory of this process, for benchmarks of it."""
import os


def resident() -> int:
    """Resident memory of this process in bytes."""
    with open('/proc/self/statm', encoding='ascii') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def forget_peak() -> None:
    """Reset :func:`peak`, if the system allows it."""
    try:
        with open('/proc/self/clear_refs', 'w', encoding='ascii') as file:
            file.write('5')
    except OSError:
        pass  # the peak of importing torch then counts, an upper bound


def peak() -> int:
    """Highest resident memory of this process in bytes."""
    with open('/proc/self/status', encoding='ascii') as file:
        line = next(line for line in file if line.startswith('VmHWM'))
    return int(line.split()[1]) * 1024
