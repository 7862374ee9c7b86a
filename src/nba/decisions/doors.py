"""Why an action is not open to a customer, in words, and when it opens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Final

from nba.decisions.action_types import ActionType
from nba.decisions.candidates import Candidates
from nba.decisions.funnel import Stage, flags_of
from nba.decisions.inputs import DecisionInputs
from nba.decisions.policy import ContactPolicy
from nba.decisions.policy_state import policy_open, policy_state

#: How many days ahead a closed door is looked behind.
LOOK_AHEAD_DAYS: Final = 31
_POLICY: Final = "policy"
#: What each closed door is called; `{rule}` is the rule in the catalogue.
DOORS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "switched_off": {"zh": "目录中已停用", "en": "switched off in the catalogue"},
        "no_consent": {"zh": "客户未同意被联系", "en": "no consent to contact"},
        "blocked": {"zh": "客户已拉黑", "en": "has blocked us"},
        "not_a_friend": {"zh": "还不是好友", "en": "not a friend"},
        "no_profiling": {"zh": "客户不同意个性化", "en": "no consent to profiling"},
        "not_eligible": {
            "zh": "不符合条件：{rule}；或导购不做这种方式",
            "en": "eligible: {rule}; or a mode that the clerk does not serve",
        },
        "nothing_to_bring": {
            "zh": "目前没有适合带给客户的内容",
            "en": "nothing that it could bring this customer today",
        },
        "not_applicable": {"zh": "目前不适用：{rule}", "en": "applicable: {rule}"},
        "not_suitable": {
            "zh": "目前不合适：{rule}；或有未结的服务单要先处理",
            "en": "suitable: {rule}; or an open service case comes first",
        },
        _POLICY: {
            "zh": "这种方式还在间隔期内，或同类活动太近，或平台额度已用完",
            "en": "mode cools down, same type too soon, or quota spent",
        },
        "blocked_response": {"zh": "客户已拉黑", "en": "has blocked us"},
        "holiday": {"zh": "今天不打扰客户", "en": "no contacts today: a holiday"},
        "cap_per_day": {"zh": "今天的联系次数已满", "en": "has had all contacts of a day"},
        "cap_per_week": {"zh": "本周联系次数已满", "en": "has had all contacts of a week"},
        "cap_per_month": {"zh": "本月联系次数已满", "en": "has had all contacts of a month"},
        "pause_after_no": {"zh": "客户多次表示拒绝，暂停联系", "en": "a pause after a complaint"},
        "pause_after_silence": {"zh": "客户一直没有回应，暂停联系", "en": "a pause after silence"},
        "cool_down": {"zh": "刚联系过，间隔期未到", "en": "resting after the last contact"},
        "snoozed": {"zh": "导购已推迟，到时再联系", "en": "set aside by the clerk until later"},
    }
)
#: The same where the catalogue sets no rule.
_WITHOUT_RULE: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "not_eligible": {
            "zh": "导购不做这种方式",
            "en": "a mode that the clerk does not serve",
        },
        "not_suitable": {
            "zh": "有未结的服务单要先处理",
            "en": "an open service case comes first",
        },
    }
)
#: Why nothing at all is open, where no single door says it.
_CLOSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "not_eligible": "no action may go to this customer",
        "not_applicable": "no action applies today",
        "not_suitable": "no action suits today",
        "clerk_off": "the clerk is off today",
    }
)
_NO_RULE: Final = "True"
_RULES: Final = {
    "not_eligible": "eligible",
    "not_applicable": "applicable",
    "not_suitable": "suitable",
}


def door_of(candidates: Candidates, at: int, stage: Stage, row: int = 0) -> str:
    """Return the code of the door that closes an action to a customer; empty: open.

    Parameters
    ----------
    candidates : Candidates
    at : int
        The action's place among the candidates.
    stage : Stage
        How far it came.
    row : int
        The customer's place.
    """
    action, state = candidates.actions[at], candidates.facts.row(row, named=True)
    if not action.enabled:
        return "switched_off"
    if stage is Stage.POLICY:
        stopped = candidates.service_stopped_by if action.service else candidates.stopped_by
        return str(stopped[row] or _POLICY)
    if stage is Stage.NOT_APPLICABLE:
        is_met = flags_of(candidates.facts[row : row + 1], [action.applicable])[0, 0]
        return "nothing_to_bring" if is_met else stage.name.lower()
    if stage is not Stage.NOT_ELIGIBLE:
        return "" if stage is Stage.OPEN else stage.name.lower()
    if not state["consent_contact"]:
        return "no_consent"
    if state["is_blocked"]:
        return "blocked"
    if action.needs_friend and not state["is_friend"]:
        return "not_a_friend"
    if action.profiling and not state["consent_profiling"]:
        return "no_profiling"
    return "not_eligible"


def text_of(code: str, action: ActionType) -> dict[str, str]:
    """Return what a closed door is called, by language."""
    rule = action.rules.get(_RULES.get(code, ""), "")
    texts = _WITHOUT_RULE.get(code, DOORS[code]) if rule == _NO_RULE else DOORS[code]
    return {language: text.format(rule=rule) for language, text in texts.items()}


def said_of_closed(code: str) -> str:
    """Return in words why nothing is open to a customer; `code` itself where it names no door."""
    return _CLOSED.get(code) or DOORS.get(code, {}).get("en", code)


def opening_days(
    inputs: DecisionInputs, candidates: Candidates, policy: ContactPolicy, *, as_of: datetime
) -> list[date | None]:
    """Return the first day on which the contact policy lets each action go to one customer.

    Parameters
    ----------
    inputs : DecisionInputs
        Of the customer alone.
    candidates : Candidates
        Of the same.
    policy : ContactPolicy
    as_of : datetime

    Returns
    -------
    list of date or None
        None where the policy does not close the action, or for longer than `LOOK_AHEAD_DAYS`;
        as if nobody contacted the customer meanwhile.
    """
    waits = {at for at, stage in enumerate(candidates.stage[0]) if stage == Stage.POLICY}
    days: list[date | None] = [None] * len(candidates.actions)
    for ahead in range(1, LOOK_AHEAD_DAYS + 1):
        if not waits:
            break
        later = as_of + timedelta(days=ahead)
        state = policy_state(inputs, candidates.facts, as_of=later, policy=policy)
        is_open = policy_open(inputs, state, candidates.actions, as_of=later, policy=policy)[0]
        for at in [one for one in waits if is_open[one]]:
            days[at] = later.date()
            waits.remove(at)
    return days
