"""What an error has to look like."""

import httpx


def problem_of(reply: httpx.Response, status: int, *told: str) -> dict[str, object]:
    """The problem detail of a reply, which has this status and tells all these texts."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    problem: dict[str, object] = reply.json()
    for text in told:
        assert text in str(problem["detail"])
    return problem
