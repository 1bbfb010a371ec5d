"""What a chaos run says at its end."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from narralytica_ingest_tests.chaos import checks
from narralytica_ingest_tests.chaos.checks import Findings
from narralytica_ingest_tests.chaos.course import LONG_SECONDS, Course
from narralytica_ingest_tests.chaos.plan import STAGES
from narralytica_ingest_tests.chaos.watch import Recovery
from narralytica_ingest_tests.chaos.world import LEASE_SECONDS

# A killed run is running again within 2 minutes, at defaults, of which the lease is 45 s. The lease is shorter here;
# the looks of the sensors and the patience with workers that come back are not, and faults go on meanwhile for a while.
PROMISED_SECONDS, DEFAULT_LEASE_SECONDS = 120.0, 45.0
BOUND_SECONDS = PROMISED_SECONDS - (DEFAULT_LEASE_SECONDS - LEASE_SECONDS) + LONG_SECONDS
ROWS = (
    checks.LOST,
    checks.STUCK,
    checks.TWICE,
    checks.CORRUPT,
    checks.ORPHANED,
    checks.MISSING,
    checks.LEFT,
    checks.APART,
    checks.CHARGED,
    checks.ZOMBIES,
)
_NAMED = 12


@dataclass
class Report:
    """The outcome: `text` for people, and whether all is well."""

    course: Course
    findings: Findings
    disk_way: str

    @property
    def is_good(self) -> bool:
        """All faults were made, nothing is wrong, and no recovery took too long."""
        return not self.complaints

    @property
    def complaints(self) -> list[str]:
        """What is wrong, a line for each thing."""
        course = self.course
        said = [f"{what}: {each}" for what, all_ in self.findings.wrong.items() for each in all_]
        said += [f"the stack's own supervision broke: {each}" for each in course.broken]
        counted = sum(course.counted.values())
        if counted < course.faults:
            said.append(f"only {counted} of {course.faults} faults hit an active stage; missed: {course.missed}")
        slow = [each for each in course.watch.recoveries if each.seconds > BOUND_SECONDS]
        said += [
            f"recovery of job {each.job_id} from {each.fault} took {each.seconds:.0f} s, more than {BOUND_SECONDS:.0f}"
            for each in slow
        ]
        return said

    @property
    def text(self) -> str:
        """The tables, and where something is wrong what it is."""
        return "\n".join([*self._faults(), "", *self._sums(), "", *self._verdict()])

    def _faults(self) -> Iterator[str]:
        counted = self.course.counted
        yield f"{'fault':32s}" + "".join(f"{stage:>8s}" for stage in STAGES) + f"{'all':>8s}"
        for kind in self.course.kinds:
            numbers = [counted[kind.name, stage] for stage in STAGES]
            yield f"{kind.name:32s}" + "".join(f"{number or '-':>8}" for number in numbers) + f"{sum(numbers):>8}"
        sums = [sum(counted[kind.name, stage] for kind in self.course.kinds) for stage in STAGES]
        yield f"{'all':32s}" + "".join(f"{number:>8}" for number in sums) + f"{sum(sums):>8}"
        replaced = self.course.replaced
        yield f"found nothing to hit, and replaced: {len(replaced)} {replaced or ''}. Disk full by: {self.disk_way}."

    def _sums(self) -> Iterator[str]:
        for row in ROWS:
            yield f"{row:40s}{len(self.findings.wrong.get(row, [])):>8}"
        recoveries = sorted(self.course.watch.recoveries, key=lambda each: each.seconds)
        if recoveries:
            longest: Recovery = recoveries[-1]
            median = statistics.median(each.seconds for each in recoveries)
            yield (
                f"{'longest recovery':40s}{longest.seconds:>7.1f}s  ({longest.fault}; median {median:.1f} s of "
                f"{len(recoveries)}; at most {BOUND_SECONDS:.0f} s with leases of {LEASE_SECONDS:.0f} s)"
            )
            yield f"  history of its job {longest.job_id}:"
            yield self.course.watch.history(longest.job_id)

    def _verdict(self) -> Iterator[str]:
        if self.is_good:
            yield "Nothing lost, nothing twice."
            return
        yield from self._complaints()

    def _complaints(self) -> Iterator[str]:
        complaints = self.complaints
        yield f"{len(complaints)} things are wrong:"
        yield from (f"  - {each}" for each in complaints[: 3 * _NAMED])
        for job in sorted(self._jobs())[:_NAMED]:
            yield f"  history of job {job}:"
            yield self.course.watch.history(UUID(job))

    def _jobs(self) -> set[str]:
        slow = {str(each.job_id) for each in self.course.watch.recoveries if each.seconds > BOUND_SECONDS}
        return self.findings.jobs | slow
