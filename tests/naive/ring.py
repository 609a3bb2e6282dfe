"""What a ring means, said with lists: every record ever written, how many are whole, how many published, where each reader is.

It knows nothing of stamps, slots or laps; a record is whole while it is among the last `capacity` ones.
"""

from dataclasses import dataclass, field


@dataclass
class Reader:
    """next: sequence of the record to read next. acked: sequences read, in order."""

    next: int
    acked: list[int] = field(default_factory=list)
    lost: int = 0
    laps: int = 0


class NaiveRing:
    """Records are their sequences. `start`: sequence of the first one."""

    def __init__(self, capacity: int, gating: list[str], free: dict[str, str], start: int = 0) -> None:
        self.capacity, self.start = capacity, start
        self.written = self.published = start
        self.gating = {name: Reader(start) for name in gating}
        self.free = {name: Reader(start) for name in free}
        self.resync = free

    def has_room(self, count: int) -> bool:
        """Whether `count` more records than those published leave alone what a gating reader still has to read."""
        slowest = min((reader.next for reader in self.gating.values()), default=self.published)
        return self.published + count - slowest <= self.capacity

    def write(self) -> int:
        """The next record is whole; nobody has announced it yet."""
        self.written += 1
        return self.written - 1

    def publish(self) -> None:
        self.published = self.written

    def replace_producer(self) -> None:
        """What the dead one wrote is whole: nothing of it is lost."""
        self.published = self.written

    def whole(self) -> range:
        """Sequences of the records that can be read."""
        return range(max(self.start, self.written - self.capacity), self.written)

    def release(self, name: str, count: int) -> list[int]:
        """A gating reader has read `count` records."""
        reader = self.gating[name]
        read = list(range(reader.next, reader.next + count))
        reader.acked += read
        reader.next += count
        return read

    def poll(self, name: str) -> int | None:
        """The record that a free reader gets, None if there is nothing new. All records are published.

        A lapped one goes on at the oldest whole record, or at the newest.
        """
        assert self.published == self.written
        reader = self.free[name]
        if reader.next >= self.written:
            return None
        if reader.next not in self.whole():
            target = self.whole()[-1 if self.resync[name] == "newest" else 0]
            reader.lost += target - reader.next
            reader.laps += 1
            reader.next = target
        reader.acked.append(reader.next)
        reader.next += 1
        return reader.next - 1

    def pending(self, name: str) -> int:
        return self.published - (self.gating | self.free)[name].next
