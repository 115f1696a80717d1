from __future__ import annotations

import asyncio

from services.proxy.deadlines import Deadlines


class Sleeper:
    """Asks again until its time has come, as whoever uses deadlines must."""

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.deadlines = deadlines
        self.at = self.loop.time() + seconds
        self.calls: list[float] = []
        self.awake = asyncio.Event()
        self.slot = deadlines.wake(self, self.at)

    def fall_due(self) -> None:
        now = self.loop.time()
        self.calls.append(now)
        if now >= self.at:
            self.awake.set()
        else:
            self.slot = self.deadlines.wake(self, self.at)


async def test_each_wakes_at_its_time_in_order() -> None:
    deadlines, woken = Deadlines(), []
    sleepers = [Sleeper(deadlines, seconds) for seconds in (0.3, 0.1, 0.2, 0.1)]
    for number in (1, 3, 2, 0):
        await sleepers[number].awake.wait()
        woken.append(min(sleepers[number].calls))
    assert woken == sorted(woken)
    assert all(min(one.calls) >= one.at and len(one.calls) == 1 for one in sleepers)


async def test_a_later_deadline_gives_way_to_an_earlier_one() -> None:
    deadlines = Deadlines()
    late, early = Sleeper(deadlines, 60), Sleeper(deadlines, 0.05)
    await early.awake.wait()
    assert not late.calls
    again = Sleeper(deadlines, 0.05)
    await again.awake.wait()
    assert not late.calls


async def test_who_is_dropped_sleeps_on() -> None:
    deadlines = Deadlines()
    dropped, other = Sleeper(deadlines, 0.1), Sleeper(deadlines, 0.1)
    deadlines.drop(dropped, dropped.slot)
    deadlines.drop(dropped, dropped.slot)
    await other.awake.wait()
    assert not dropped.calls


async def test_those_far_off_share_a_slot_and_none_comes_late() -> None:
    deadlines = Deadlines()
    now = asyncio.get_running_loop().time()
    sleepers = [Sleeper(deadlines, 100 + number / 1000) for number in range(1000)]
    assert len({one.slot for one in sleepers}) <= 2
    assert all(one.at - 4.1 < one.slot / 40 <= one.at + 0.1 for one in sleepers)
    assert all(one.slot / 40 > now for one in sleepers)


async def test_one_that_fails_holds_up_nobody() -> None:
    class Failing:
        def fall_due(self) -> None:
            raise RuntimeError("no more")

    deadlines = Deadlines()
    loop = asyncio.get_running_loop()
    deadlines.wake(Failing(), loop.time() - 1)
    other = Sleeper(deadlines, -1)
    await other.awake.wait()
    later = Sleeper(deadlines, 0.05)
    await later.awake.wait()


async def test_one_that_asks_for_the_past_leaves_the_others_their_turns() -> None:
    class Restless:
        calls = 0

        def fall_due(self) -> None:
            self.calls += 1
            deadlines.wake(self, 0.0)

    deadlines, restless = Deadlines(), Restless()
    deadlines.wake(restless, 0.0)
    for _ in range(5):
        await asyncio.sleep(0.01)
    assert restless.calls
