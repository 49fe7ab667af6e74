"""`Prefer`: what a client would rather have, and need not get (RFC 7240)."""

import re
from collections.abc import Sequence

APPLIED = "Preference-Applied"
RESPOND_ASYNC = "respond-async"
# In which commas part nothing.
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def prefers(headers: Sequence[str], preference: str) -> bool:
    """Whether a preference without a value is among those of the headers; what is not understood is passed over."""
    given = (each for header in headers for each in QUOTED.sub("", header).split(","))
    return any(each.partition(";")[0].strip().lower() == preference for each in given)
