"""What webhooks are told, as the OpenAPI document describes it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Response
from pydantic import AwareDatetime, BaseModel, Field

from nba.schema.words import FeedbackKind
from nba.stores.hooks import TYPE_PREFIX, HookEvent

router = APIRouter(tags=["webhooks"])


class CloudEvent(BaseModel):
    """A message, as a CloudEvent in structured form."""

    specversion: Literal["1.0"]
    id: str = Field(description="The same for every attempt: take a message once.")
    source: str
    time: AwareDatetime
    datacontenttype: Literal["application/json"]


class PlanPublished(BaseModel):
    """A plan stands, or replaced another one."""

    as_of: date
    actions: int


class PlanPublishedEvent(CloudEvent):
    """`plan.published`."""

    type: Literal["nba.plan.published"]
    data: PlanPublished


class ListChanged(BaseModel):
    """An action came onto a clerk's list, or left it, since the plan was published."""

    as_of: date
    clerk_id: str
    action_id: str
    reason: str = Field(description="Why, as in `GET /v1/clerks/{clerk_id}/actions/changes`.")
    version: int = Field(description="Of the list from then on.")


class ActionAdded(ListChanged):
    """An action came onto a clerk's list during the day."""


class ActionAddedEvent(CloudEvent):
    """`action.added`."""

    type: Literal["nba.action.added"]
    data: ActionAdded


class ActionWithdrawn(ListChanged):
    """An action left a clerk's list during the day."""


class ActionWithdrawnEvent(CloudEvent):
    """`action.withdrawn`."""

    type: Literal["nba.action.withdrawn"]
    data: ActionWithdrawn


class ActionFallback(BaseModel):
    """The clerk did not act in time: the other channel is to reach the customer, once."""

    action_id: str
    clerk_id: str
    channel: Literal["subscription", "mini_program"]
    deadline: datetime = Field(description="UTC.")


class ActionFallbackEvent(CloudEvent):
    """`action.fallback`."""

    type: Literal["nba.action.fallback"]
    data: ActionFallback


class ExperimentStopped(BaseModel):
    """An arm that the plan before had has no customers any more."""

    as_of: date
    arm: str


class ExperimentStoppedEvent(CloudEvent):
    """`experiment.stopped`."""

    type: Literal["nba.experiment.stopped"]
    data: ExperimentStopped


class FeedbackRecorded(BaseModel):
    """A clerk said what became of an action."""

    feedback_id: str
    action_id: str
    clerk_id: str
    ts: datetime = Field(description="UTC.")
    kind: FeedbackKind


class FeedbackRecordedEvent(CloudEvent):
    """`feedback.recorded`."""

    type: Literal["nba.feedback.recorded"]
    data: FeedbackRecorded


class NightFailed(BaseModel):
    """A nightly run failed."""

    as_of: date
    step: str
    error: str


class NightFailedEvent(CloudEvent):
    """`night.failed`."""

    type: Literal["nba.night.failed"]
    data: NightFailed


class ErasureDone(BaseModel):
    """An erasure has reached everything that is kept."""

    receipt_id: str


class ErasureDoneEvent(CloudEvent):
    """`erasure.done`."""

    type: Literal["nba.erasure.done"]
    data: ErasureDone


class Tested(BaseModel):
    """`nba hooks test` was called."""

    hook_id: str


class TestEvent(CloudEvent):
    """`test`."""

    type: Literal["nba.test"]
    data: Tested


#: What each event sends.
EVENTS: dict[HookEvent, type[CloudEvent]] = {
    HookEvent.PLAN_PUBLISHED: PlanPublishedEvent,
    HookEvent.ACTION_ADDED: ActionAddedEvent,
    HookEvent.ACTION_WITHDRAWN: ActionWithdrawnEvent,
    HookEvent.ACTION_FALLBACK: ActionFallbackEvent,
    HookEvent.EXPERIMENT_STOPPED: ExperimentStoppedEvent,
    HookEvent.FEEDBACK_RECORDED: FeedbackRecordedEvent,
    HookEvent.NIGHT_FAILED: NightFailedEvent,
    HookEvent.ERASURE_DONE: ErasureDoneEvent,
    HookEvent.TEST: TestEvent,
}


def _describe(event: HookEvent, model: type[CloudEvent]) -> None:
    kind = model.model_fields["data"].annotation
    told = kind.__doc__ if kind is not None else ""

    def receive(
        body: model,  # type: ignore[valid-type]
        webhook_id: Annotated[str, Header(description="The message's id.")],
        webhook_timestamp: Annotated[int, Header(description="Seconds since 1970.")],
        webhook_signature: Annotated[str, Header(description="By Standard Webhooks.")],
    ) -> None: ...

    # annotations are text in this module, and `model` is known in here alone
    receive.__annotations__["body"] = model
    router.add_api_route(
        f"{TYPE_PREFIX}{event}",
        receive,
        methods=["POST"],
        name=f"on_{event.name.lower()}",
        operation_id=f"on_{event.name.lower()}",
        summary=told,
        description=f"{told} Answer with any success within 10 seconds; 410 ends the webhook.",
        status_code=204,
        response_class=Response,
    )


for _event, _model in EVENTS.items():
    _describe(_event, _model)
