"""How far a series of trainings is."""
from typing import Dict, NamedTuple, Optional

from mmkd.utils.runs import Run


class _Training(NamedTuple):
    config: str
    iters: int


class Progress:
    """Counts the runs of several plans, which may share some.

    Args:
        jobs (int): Runs that train side by side.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._plans: Dict[str, Dict[str, _Training]] = {}
        self._done: Dict[str, float] = {}

    def expect(self, plan: str, runs: Dict[str, Run]) -> None:
        """Add the runs of a plan, or replace those that it had.

        Args:
            plan (str): Its name.
            runs (dict[str, Run]): The runs by their folders. Those that are
                trained already count as done.
        """
        self._plans[plan] = {
            folder: _Training(run.config, run.iters)
            for folder, run in runs.items()
        }
        for folder, run in runs.items():
            if run.done:
                self._done[folder] = 60 * run.minutes

    def update(self, run: Run) -> None:
        """Note that a run is done, and print how far the series is."""
        self._done[run.work_dir] = 60 * run.minutes
        print(self)

    def __str__(self) -> str:
        runs = self._all()
        done = sum(folder in self._done for folder in runs)
        text = f'run {done} of {len(runs)} of the series is done'
        minutes = self.minutes_left()
        return text if minutes is None else (
            f'{text}, about {minutes:.0f} min left')

    def minutes_left(self) -> Optional[float]:
        """Minutes for the runs that are left, at the pace of the trainings of
        their config, or of all; None before the first is done."""
        runs = self._all()
        seconds: Dict[str, float] = {}
        iters: Dict[str, int] = {}
        for folder in runs.keys() & self._done.keys():
            for key in (runs[folder].config, ''):
                seconds[key] = seconds.get(key, 0) + self._done[folder]
                iters[key] = iters.get(key, 0) + runs[folder].iters
        if not iters:
            return None
        left = 0.
        for folder in runs.keys() - self._done.keys():
            key = runs[folder].config if runs[folder].config in iters else ''
            left += runs[folder].iters * seconds[key] / iters[key]
        return left / self.jobs / 60

    def _all(self) -> Dict[str, _Training]:
        return {
            folder: run
            for plan in self._plans.values()
            for folder, run in plan.items()
        }
