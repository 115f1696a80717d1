from __future__ import annotations

import asyncio

import pytest

from services.api.shared_answers import SharedAnswers


class Question:
    """Counts how often it was asked; answers once it may."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self._error = error

    async def __call__(self) -> int:
        self.asked += 1
        number = self.asked
        await self.may_answer.wait()
        if self._error is not None:
            raise self._error
        return number


async def test_a_hundred_who_ask_the_same_share_one_question() -> None:
    answers, question = SharedAnswers(), Question()
    waiting = [asyncio.create_task(answers.get(7, "key", question)) for _ in range(100)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    question.may_answer.set()
    assert await asyncio.gather(*waiting[1:]) == [1] * 99
    assert await answers.get(7, "key", question) == 1
    assert await answers.get(7, "another", question) == 2
    assert await answers.get(8, "key", question) == 3


async def test_an_error_is_told_to_all_and_not_kept() -> None:
    answers, question = SharedAnswers(), Question(OSError("away"))
    waiting = [asyncio.create_task(answers.get(7, "key", question)) for _ in range(3)]
    await asyncio.sleep(0)
    question.may_answer.set()
    assert {type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)} == {OSError}
    assert question.asked == 1
    with pytest.raises(OSError, match="away"):
        await answers.get(7, "key", question)
    assert question.asked == 2


async def test_what_is_kept_is_bounded() -> None:
    answers, question = SharedAnswers(), Question()
    question.may_answer.set()
    for number in range(1500):
        await answers.get(7, number, question)
    assert len(answers._tasks) == 1000
