"""What happens at FINRA and on the way to it, by the luck of a step."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random

from seasons.duties import SETTLED, WINDOW
from seasons.finra import CHANGES, TIERS, Finra, Partition, Served, add, amend, move_line
from seasons.sources import file_bytes

_YOUNG = timedelta(weeks=WINDOW + 2)
_SETTLED = timedelta(weeks=WINDOW + SETTLED - TIERS.index("NMS_TIER_1"))


class World:
    """FINRA and the state of the way to it."""

    def __init__(self, finra: Finra, *, files: bool) -> None:
        self.finra, self.out_of_order = finra, frozenset[str]()
        self._files = files

    def happen(self, action: str, luck: int) -> None:
        """One step; it does nothing where nothing fits."""
        getattr(self, f"_{action}")(Random(luck))

    def is_known(self, action: str) -> bool:
        return hasattr(self, f"_{action}")

    def _sound(self, draw: Random, age: timedelta) -> Partition | None:
        """A partition that can be changed, of the last weeks."""
        finra = self.finra
        sound = [p for p, s in sorted(finra.partitions.items()) if not s.fault and p.week > finra.today - age]
        return draw.choice(sound) if sound else None

    def _revise(self, draw: Random) -> None:
        """Firms correct figures or report late: the line has today's date. Any week, mostly a young one."""
        partition = self._sound(draw, timedelta(weeks=9 if draw.random() < 0.7 else 60))
        if partition:
            lines = self.finra.partitions[partition].lines
            change = draw.choice((amend, amend, add))
            changed = change(lines, partition.tier, self.finra.today, draw)
            if changed:
                self.finra.change(partition, Served(changed, self.finra.today))

    _revise_more = _revise

    def _change_silently(self, draw: Random) -> None:
        """Something changes and no date says so."""
        partition = self._sound(draw, timedelta(weeks=WINDOW + SETTLED - 4))
        if partition:
            lines = self.finra.partitions[partition].lines
            changed = draw.choice(CHANGES)(lines, partition.tier, None, draw)
            if changed:
                self.finra.change(partition, Served(changed, self.finra.today))

    def _take_back(self, draw: Random) -> None:
        """An earlier content is served again, dates included."""
        finra = self.finra
        revised = [
            p
            for p, s in sorted(finra.partitions.items())
            if not s.fault and p.week > finra.today - timedelta(weeks=WINDOW + SETTLED - 4) and self._earlier(p)
        ]
        if revised:
            partition = draw.choice(revised)
            finra.change(partition, draw.choice(self._earlier(partition))._replace(changed=finra.today))

    def _earlier(self, partition: Partition) -> list[Served]:
        now = self.finra.partitions[partition]
        return [old for old in self.finra.before.get(partition, []) if not old.fault and old.lines != now.lines]

    def _move(self, draw: Random, *, dated: bool = True) -> None:
        partition = self._sound(draw, timedelta(weeks=WINDOW + SETTLED - 4))
        if partition:
            other = draw.choice([tier for tier in TIERS if tier != partition.tier])
            move_line(self.finra, partition.week, partition.tier, other, dated, draw)

    def _move_silently(self, draw: Random) -> None:
        self._move(draw, dated=False)

    def _spoil(self, draw: Random) -> None:
        """A content is served that must be refused."""
        partition = self._sound(draw, _YOUNG)
        if partition is None:
            return
        served = self.finra.partitions[partition]
        spoiled = draw.choice(_SPOILS if self._files else (_shrunk,))(self.finra, partition, served, draw)
        if spoiled:
            self.finra.change(partition, spoiled)

    def _unspoil(self, draw: Random) -> None:
        """A sound content takes the place of one that must be refused."""
        spoiled = [p for p, served in sorted(self.finra.partitions.items()) if served.fault]
        if spoiled:
            partition = draw.choice(spoiled)
            last = [old for old in self.finra.before[partition] if not old.fault][-1]
            self.finra.change(partition, last._replace(changed=self.finra.today))

    def _delay(self, draw: Random) -> None:
        """The next partitions come days or weeks late."""
        coming = self.finra.coming()
        if coming:
            self.finra.late[draw.choice(coming)] = draw.choice((3, 5, 8, 15))

    def _break_source(self, draw: Random) -> None:
        self.out_of_order = frozenset(TIERS) if draw.random() < 0.5 else frozenset({draw.choice(TIERS)})

    def _repair_source(self, draw: Random) -> None:
        self.out_of_order = frozenset()


def _shrunk(finra: Finra, partition: Partition, served: Served, draw: Random) -> Served | None:
    """Two lines are left: refused where there is a good capture, so only what has been served for a while shrinks."""
    if partition.due > finra.today - timedelta(days=14):
        return None
    lines = tuple(line._replace(updated=finra.today) for line in served.lines[:2])
    return Served(lines, finra.today, "SHRUNK_CAPTURE", file_bytes(partition.tier, lines))


def _truncated(finra: Finra, partition: Partition, served: Served, draw: Random) -> Served | None:
    """The file breaks off in the middle of a line."""
    content = file_bytes(partition.tier, served.lines)
    last = content[:-1].rindex(b"\n")
    end = draw.randrange(last + 5, content.rindex(b"|"))
    return Served(served.lines, finra.today, "TRUNCATED_CONTENT", content[:end])


def _of_another_week(finra: Finra, partition: Partition, served: Served, draw: Random) -> Served | None:
    """The file of the week before under this week's name. Its dates tell, where the store never saw that week."""
    other = finra.partitions.get(Partition(partition.week - timedelta(weeks=1), partition.tier))
    published = partition.monday + timedelta(days=21 if partition.tier == "NMS_TIER_1" else 35)
    if other is None or other.fault or other.newest >= published:
        return None
    return Served(other.lines, finra.today, "SAME_CONTENT", file_bytes(partition.tier, other.lines))


def _header_only(finra: Finra, partition: Partition, served: Served, draw: Random) -> Served | None:
    return Served((), finra.today, "NO_ROWS", file_bytes(partition.tier, ()))


_SPOILS: tuple[Callable[[Finra, Partition, Served, Random], Served | None], ...] = (
    _shrunk,
    _truncated,
    _of_another_week,
    _header_only,
)
