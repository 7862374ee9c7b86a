"""Nights as MLflow traces: one span per step, with its seconds, rows and memory."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nba.cores import in_environment
from nba.stores.registry import quiet
from nba.stores.runs import experiment_of

#: The MLflow experiment in which nights are traced.
EXPERIMENT: Final = "nba nights"
#: A server that does not answer is given up on soon: a trace is worth no waiting.
_PATIENCE: Final[Mapping[str, str]] = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}
_MILLION: Final = 1_000_000


@dataclass(frozen=True)
class TracedStep:
    """A step that was walked.

    Parameters
    ----------
    name : str
    started, ended : int
        Nanoseconds since 1970.
    facts : mapping of str to object
        What it reported: counts, seconds, megabytes.
    error : str
        Why it failed; empty: it did not.
    """

    name: str
    started: int
    ended: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


def log_night(
    tracking_uri: str, day: str, steps: Sequence[TracedStep], tags: Mapping[str, str]
) -> str:
    """Log a night as a trace, and return its id.

    Parameters
    ----------
    tracking_uri : str
    day : str
        The plan's.
    steps : sequence of TracedStep
        In order; at least one.
    tags : mapping of str to str
        By which nights are searched.

    Notes
    -----
    The trace is written as a whole once the night is over, so nothing of MLflow runs during a step.
    """
    with quiet(), in_environment(_PATIENCE):
        from mlflow import MlflowClient
        from mlflow.entities.trace_info import TraceInfo
        from mlflow.entities.trace_location import TraceLocation
        from mlflow.entities.trace_state import TraceState
        from mlflow.tracing.client import TracingClient

        place = experiment_of(MlflowClient(tracking_uri), tracking_uri, EXPERIMENT)
        number, failed = secrets.randbits(128) or 1, any(step.error for step in steps)
        trace_id = f"tr-{number:032x}"
        name = f"night of {day}"
        first, last = steps[0].started, steps[-1].ended
        asked = {"plan for": day}
        told = {step.name: step.error or _seconds(step) for step in steps}
        whole = TracedStep(name, first, last, {}, next((s.error for s in steps if s.error), ""))
        root, client = secrets.randbits(64) or 1, TracingClient(tracking_uri)
        spans = [_span(number, root, None, whole, asked, told)]
        spans += [
            _span(number, secrets.randbits(64) or 1, root, step, asked, dict(step.facts))
            for step in steps
        ]
        client.start_trace(
            TraceInfo(
                trace_id=trace_id,
                trace_location=TraceLocation.from_experiment_id(place),
                request_time=first // _MILLION,
                state=TraceState.ERROR if failed else TraceState.OK,
                request_preview=json.dumps(asked),
                response_preview=json.dumps(told),
                execution_duration=(last - first) // _MILLION,
                tags={"mlflow.traceName": name, **tags},
            )
        )
        client.log_spans(place, spans)
    return trace_id


def _seconds(step: TracedStep) -> str:
    return f"{(step.ended - step.started) / 1e9:.1f} s"


def _span(
    trace: int,
    number: int,
    parent: int | None,
    step: TracedStep,
    asked: Mapping[str, Any],
    told: Mapping[str, Any],
) -> Any:
    """Return a finished span.

    Parameters
    ----------
    trace, number : int
        Ids of the trace and of the span.
    parent : int or None
        The span that it is a part of.
    step : TracedStep
    asked, told : mapping
        What the page shows as inputs and outputs.
    """
    from mlflow.entities.span import Span
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

    def context(of: int) -> SpanContext:
        return SpanContext(trace, of, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    known = {
        "mlflow.traceRequestId": f"tr-{trace:032x}",
        "mlflow.spanType": "CHAIN" if parent is None else "TOOL",
        "mlflow.spanInputs": asked,
        "mlflow.spanOutputs": told,
        **step.facts,
    }
    state = Status(StatusCode.ERROR, step.error) if step.error else Status(StatusCode.OK)
    return Span(
        ReadableSpan(
            name=step.name,
            context=context(number),
            parent=None if parent is None else context(parent),
            attributes={name: json.dumps(value, default=str) for name, value in known.items()},
            status=state,
            start_time=step.started,
            end_time=step.ended,
        )
    )
