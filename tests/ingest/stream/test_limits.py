"""What one stream can cause without end is bounded, and counted."""

from __future__ import annotations

from actors.ingest.stream.limits import LOG_LINES_BURST, PATIENCE_FACTOR, EventLimit, MalformedMessages


def test_events_beyond_the_limit_are_counted_by_type() -> None:
    """Each is told once; there is room again after a while."""
    limit = EventLimit(per_s=1, burst=2)
    assert [limit.allows("mark", 0.0) for _ in range(4)] == [True, True, False, False]
    assert not limit.allows("dtmf", 0.0)
    assert limit.take_unrecorded() == {"mark": 2, "dtmf": 1}
    assert limit.take_unrecorded() == {}
    assert limit.allows("mark", 1.0)


def test_unreadable_messages_in_a_row() -> None:
    """A readable message begins a new row; a peer that never sent one gets less patience. The end is told once."""
    malformed = MalformedMessages(limit=3)
    assert [malformed.add(0) for _ in range(5)] == [False, False, True, False, False]
    assert (malformed.total, malformed.in_a_row) == (5, 5)
    patient = MalformedMessages(limit=3)
    patient.add(1)
    assert [patient.add(2) for _ in range(3 * PATIENCE_FACTOR)].index(True) == 3 * PATIENCE_FACTOR - 1
    assert not patient.add(3)
    assert patient.in_a_row == 1


def test_the_first_of_a_row_is_logged() -> None:
    """Not the others, and not the first of every row without end."""
    malformed = MalformedMessages(limit=100)
    logged = []
    for message in range(100):
        malformed.add(message // 2)  # two in each row
        logged.append(malformed.should_log(0.0))
    assert logged.count(True) == LOG_LINES_BURST
    assert not any(logged[1::2])
