"""Every version that is installed is pinned, so that an installation next year is today's."""

from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent


def _needed(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> None:
    """Add a package and, through its metadata, all that it asks for on this system."""
    if (name, extras) in seen:
        return
    seen.add((name, extras))
    for line in requires(name) or ():
        requirement = Requirement(line)
        environments = [{"extra": extra} for extra in (*extras, "")]
        if requirement.marker is None or any(requirement.marker.evaluate(each) for each in environments):
            _needed(canonicalize_name(requirement.name), frozenset(requirement.extras), seen)


def test_every_package_is_pinned_to_the_version_that_is_tested() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(name): wanted for name, _, wanted in (line.partition("==") for line in lines)}
    assert pinned["torch"] == "2.13.0"
    needed: set[tuple[str, frozenset[str]]] = set()
    _needed("hammingway", frozenset({"train", "test"}), needed)
    names = {name for name, _ in needed} - {"hammingway"}
    assert names > {"torch", "fastapi", "pytest"}
    for name in names:
        try:
            installed = version(name).split("+")[0]
        except PackageNotFoundError:
            raise AssertionError(f"expected {name} to be installed") from None
        assert pinned.get(name) == installed, name
