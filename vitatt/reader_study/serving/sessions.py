"""What readers do, one step after the other: each is checked, written and then acknowledged."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any, Literal

from vitatt.reader_study.frozen_model import FrozenModel
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.serving.answers import Answers, check
from vitatt.reader_study.serving.reader_state import ReaderState, Recorded
from vitatt.reader_study.serving.recorder import Recorder
from vitatt.reader_study.serving.shown import ShownFile, item_of, shown_case, shown_files
from vitatt.reader_study.serving.steps import Agreed, Paused, Withdrawn
from vitatt.reader_study.serving.study_clock import StudyClock
from vitatt.reader_study.serving.study_state import StudyState
from vitatt.reader_study.serving.submissions import made_submission, possible_seconds
from vitatt.reader_study.serving.visits import Visit
from vitatt.reader_study.submission import CaseShown, Consented, Pause, Profile, Withdrawal
from vitatt.serving.refusals import Refusal

MOST_PAUSES = 200
"""Of one visit that are recorded: nobody can fill the disk with them."""

_OPEN = ("practice", "case")


class Sessions:
    """Sessions of all readers.

    Args:
        manifest: Of the study.
        state: Of the study.
        recorder: Of its log.
        clock: The server's.
    """

    def __init__(
        self, manifest: Manifest, state: StudyState, recorder: Recorder, clock: StudyClock
    ) -> None:
        self._manifest, self._state = manifest, state
        self._recorder, self._clock = recorder, clock
        # One step of a reader at a time: of two tabs or devices, the second finds the first done.
        self._locks = {code: asyncio.Lock() for code in state.readers}

    def reader(self, token: str) -> ReaderState:
        """Return the reader of a token.

        Raises:
            Refusal: If there is none.
        """
        found = self._state.reader_of(token)
        if found is None:
            raise Refusal(404, "This address opens no study. Please check it letter by letter.")
        return found

    async def now(self, token: str) -> dict[str, Any]:
        """Return the page that a reader is at; a case that is shown for the first time is noted."""
        state = self.reader(token)
        async with self._locks[state.reader.code]:
            stage, due = self._stage(state), state.due
            content: dict[str, Any] = {"stage": stage, "code": state.reader.code}
            if stage == "locked" and due is not None:
                content["opens"] = _iso(self._state.opens(state, due))
            if stage == "withdrawn" and state.withdrawal is not None:
                content["excluded"] = state.withdrawal.exclude
            if stage in _OPEN and due is not None:
                if due.key not in state.shown:
                    await self._record("case_shown", state, self._shown(due))
                content["paused"] = state.paused_since is not None
                content["case"] = shown_case(self._manifest, state, due, token)
            return content

    async def agree(self, token: str, agreed: Agreed) -> None:
        """Record a consent."""
        state = self.reader(token)
        async with self._locks[state.reader.code]:
            if state.consent is not None:
                return
            self._expect(state, "consent")
            if agreed.version != self._manifest.consent.version:
                raise Refusal(409, "The text has changed. Please load the page again.")
            data = Consented(version=agreed.version, language=agreed.language)
            await self._record("consented", state, data)

    async def introduce(self, token: str, profile: Profile) -> None:
        """Record the experience of a reader."""
        state = self.reader(token)
        async with self._locks[state.reader.code]:
            if state.experience is not None:
                return
            self._expect(state, "profile")
            if profile.experience not in {one.name for one in self._manifest.experience}:
                raise Refusal(422, "Expected `experience` to be one of the bands of the study.")
            await self._record("profile", state, profile)

    async def submit(self, token: str, answers: Answers) -> dict[str, Any]:
        """Record the answers on the case that is due.

        The same submission again, as after a lost answer, is acknowledged in the same words.

        Returns:
            The time and receipt of the record; for practice, also the true diagnosis.

        Raises:
            Refusal: If the case is answered already, is not due, or an answer is not possible.
        """
        state = self.reader(token)
        async with self._locks[state.reader.code]:
            visit = self._visit(state, token, answers.item)
            if (known := state.recorded.get(visit.key)) is not None:
                if known.submission.submission_id == answers.submission_id:
                    return self._acknowledged(visit, known)
                raise Refusal(
                    409, "This case is answered already, in another window or on another device."
                )
            self._expect(state, *_OPEN)
            if visit != state.due or visit.key not in state.shown:
                raise Refusal(409, "This case is not due now.")
            check(answers, self._manifest, visit)
            kind: Literal["training_submitted", "submitted"] = (
                "training_submitted" if visit.practice else "submitted"
            )
            seconds = possible_seconds(state.shown[visit.key], self._clock)
            await self._record(kind, state, made_submission(visit, answers, seconds))
            return self._acknowledged(visit, state.recorded[visit.key])

    async def pause(self, token: str, paused: Paused) -> None:
        """Record a pause."""
        state = self.reader(token)
        async with self._locks[state.reader.code]:
            due = state.due
            is_due = due is not None and item_of(token, due) == paused.item
            if due is None or not is_due or due.key not in state.shown:
                return  # a page of before says that it is hidden
            if self._stage(state) not in _OPEN:
                return
            if state.paused_since is not None or state.pauses >= MOST_PAUSES:
                return
            seconds = min(paused.seconds, possible_seconds(state.shown[due.key], self._clock))
            data = Pause(case=due.case, arm=due.arm, reason=paused.reason, visible_seconds=seconds)
            await self._record("paused", state, data)

    async def resume(self, token: str) -> None:
        """Record the end of a pause."""
        state = self.reader(token)
        async with self._locks[state.reader.code]:
            if state.paused_since is not None and self._stage(state) in _OPEN:
                await self._recorder.record("resumed", state.reader.code, {})

    async def withdraw(self, token: str, withdrawn: Withdrawn) -> None:
        """Record that a reader withdraws."""
        state = self.reader(token)
        async with self._locks[state.reader.code]:
            if state.withdrawal is None:
                rule = self._manifest.consent.withdrawal
                exclude = withdrawn.exclude if rule == "ask" else rule == "exclude"
                await self._record("withdrawn", state, Withdrawal(exclude=exclude))

    def file(self, token: str, name: str) -> ShownFile:
        """Return a file of the case that is due.

        Raises:
            Refusal: If there is none of this name.
        """
        state = self.reader(token)
        due = state.due
        if due is not None and self._stage(state) in _OPEN and due.key in state.shown:
            files = shown_files(self._manifest, due, token)
            if name in files:
                return files[name]
        raise Refusal(404, "There is no such file now.")

    async def _record(self, kind: Any, state: ReaderState, data: FrozenModel) -> None:
        await self._recorder.record(kind, state.reader.code, data.model_dump(mode="json"))

    def _stage(self, state: ReaderState) -> str:
        return self._state.stage(state, self._clock.now())

    def _expect(self, state: ReaderState, *stages: str) -> None:
        if self._stage(state) not in stages:
            raise Refusal(409, "This is not the step that is due now.")

    def _visit(self, state: ReaderState, token: str, item: str) -> Visit:
        found = next((one for one in state.visits if item_of(token, one) == item), None)
        if found is None:
            raise Refusal(404, "There is no such case.")
        return found

    def _shown(self, visit: Visit) -> CaseShown:
        return CaseShown(
            case=visit.case,
            arm=visit.arm,
            period=visit.period,
            position=visit.position,
            monotonic=self._clock.monotonic(),
        )

    def _acknowledged(self, visit: Visit, recorded: Recorded) -> dict[str, Any]:
        answer: dict[str, Any] = {"recorded": _iso(recorded.time), "receipt": recorded.receipt}
        if visit.practice and visit.step == visit.steps:
            case = self._manifest.case_by_id[visit.case]
            arm = self._manifest.arm_by_name[visit.arm]
            answer["feedback"] = {
                "truth": case.truth,
                "predicted": case.ai.predicted if arm.shows_ai else None,
            }
        return answer


def _iso(time: datetime.datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds").replace("+00:00", "Z")
