"""A timer of processor time that is cheap while little time has passed."""

import time


class CpuTimer:
    """Measures the processor time of the current thread since its creation.

    Reading the processor time is a system call. It is read only after that much real time has passed."""

    __slots__ = ("_began_s", "_cpu_began_s")

    def __init__(self) -> None:
        self._began_s = time.perf_counter()
        self._cpu_began_s = time.thread_time()

    @property
    def cpu_s(self) -> float:
        """The processor time in seconds."""
        return time.thread_time() - self._cpu_began_s

    def exceeds(self, limit_s: float) -> bool:
        """Return True if more than `limit_s` of processor time was used."""
        return time.perf_counter() - self._began_s > limit_s and self.cpu_s > limit_s
