"""The schedule: which faults, at which stage, in which order. The same seed gives the same one."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from narralytica_ingest_tests.chaos.faults import Kind

STAGES = ("fetch", "store", "audio")


@dataclass
class Planned:
    """A fault to come. `patience`: how often it may be put off because nothing was there to be hit. `stands_in`: it
    replaces one that was put off as often."""

    number: int
    kind: Kind
    stage: str
    patience: int = 3
    stands_in: bool = False


def stand_in(missed: Planned, kinds: Sequence[Kind]) -> Planned:
    """Another fault at the same stage in the place of one that found nothing: of the most frequent other kind."""
    others = [kind for kind in kinds if missed.stage in kind.stages and kind.name != missed.kind.name]
    kind = max(others, key=lambda kind: kind.share, default=missed.kind)
    return Planned(missed.number, kind, missed.stage, stands_in=True)


def make_plan(kinds: Sequence[Kind], count: int, seed: int) -> list[Planned]:
    """So many faults, of each kind its share and at least one, and as evenly over the stages as the kinds allow."""
    chance = random.Random(seed)
    chosen = _shares(kinds, count)
    used: Counter[str] = Counter()
    placed = []
    for kind in sorted(chosen, key=lambda kind: len(kind.stages)):  # those that have no choice first
        fewest = min(used[stage] for stage in kind.stages)
        stage = chance.choice([stage for stage in kind.stages if used[stage] == fewest])
        used[stage] += 1
        placed.append((kind, stage))
    chance.shuffle(placed)
    return [Planned(number, kind, stage) for number, (kind, stage) in enumerate(placed, 1)]


def _shares(kinds: Sequence[Kind], count: int) -> list[Kind]:
    """The kinds, each as often as its share says, in all exactly `count` (of fewer than there are kinds: the first)."""
    whole = sum(kind.share for kind in kinds)
    often = {kind: max(1, count * kind.share // whole) for kind in kinds}
    by_share = sorted(kinds, key=lambda kind: -kind.share)
    turn = 0
    while (missing := count - sum(often.values())) != 0:
        kind = by_share[turn % len(by_share)]
        turn += 1
        if missing > 0:
            often[kind] += 1
        elif often[kind] > 1 or count < len(kinds):
            often[kind] = max(0, often[kind] - 1)
    return [kind for kind in kinds for _ in range(often[kind])]
