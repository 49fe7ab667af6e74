"""The caller's trace, for the service to go on with: W3C Trace Context, where the caller uses OpenTelemetry."""

import sys

API = "opentelemetry.trace"


def trace_headers() -> dict[str, str]:
    """What names the current span, as OpenTelemetry's own settings have it: `traceparent` by default; else nothing.

    Where nobody has imported OpenTelemetry there is no span, and it is not imported here.
    """
    headers: dict[str, str] = {}
    if API in sys.modules:
        from opentelemetry import propagate

        propagate.inject(headers)
    return headers
