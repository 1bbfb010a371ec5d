"""What one look of the upkeep sensor tells the next, in its cursor."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

# A look comes every 15 seconds. After a longer gap nobody knows what happened meanwhile, or whether runs could beat.
BLIND_SECONDS = 45.0


@dataclass
class Memory:
    """Times are seconds since 1970 by the database's clock. `suspected`: since when a run is in doubt, by its id."""

    looked_at: float | None = None
    back_since: float | None = None
    suspected: dict[str, float] = field(default_factory=dict)

    @classmethod
    def load(cls, cursor: str | None) -> "Memory":
        """Of the first look ever, or after another version's, it is empty."""
        try:
            known = json.loads(cursor or "{}")
            return cls(known.get("looked_at"), known.get("back_since"), dict(known.get("suspected", {})))
        except (ValueError, TypeError, AttributeError):
            return cls()

    def dump(self) -> str:
        """The cursor."""
        return json.dumps(asdict(self))

    def look(self, now: datetime) -> None:
        """Begins a look. After a gap the tables may have been out of reach for the runs, too: they count as back."""
        if self.looked_at is not None and now.timestamp() - self.looked_at > BLIND_SECONDS:
            self.back_since = now.timestamp()
        self.looked_at = now.timestamp()

    @property
    def back(self) -> datetime | None:
        """When a gap ended, as the tables want it."""
        return None if self.back_since is None else datetime.fromtimestamp(self.back_since, UTC)

    def suspect(self, patience: Mapping[str, float]) -> set[str]:
        """Notes the runs that are in doubt now, forgets all others, and returns those that have been so in every look
        for as long (seconds) as there is patience with them."""
        now = self.looked_at or 0.0
        self.suspected = {run_id: self.suspected.get(run_id, now) for run_id in patience}
        return {run_id for run_id, since in self.suspected.items() if now - since >= patience[run_id]}
