"""Print the docstrings of the standard library as lines of JSON: `name`, `module` and `text` of each.

A program of its own that imports nothing else, so that nothing but the interpreter decides what it finds.
"""

import contextlib
import importlib
import inspect
import io
import json
import pkgutil
import sys
import types
import warnings
from collections.abc import Iterator

# These open windows or browsers, print poems, or are not meant to be imported.
SKIPPED = {"antigravity", "idlelib", "lib2to3", "test", "this", "tkinter", "turtle", "turtledemo"}


def main() -> None:
    """Read them all, then print: modules that print when they are imported must not mix in."""
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()):
        entries = list(_entries())
    for entry in entries:
        print(json.dumps(entry))


def _entries() -> Iterator[dict[str, str]]:
    """Name and first paragraph of each distinct public docstring."""
    seen: set[str] = set()
    for module in _modules():
        for name, documented in _documented(module):
            docstring = getattr(documented, "__doc__", None)
            if not isinstance(docstring, str) or not docstring.strip() or docstring in seen:
                continue
            seen.add(docstring)
            summary = inspect.cleandoc(docstring).split("\n\n")[0]
            yield {"name": name, "module": module.__name__, "text": f"{name}: {' '.join(summary.split())}"}


def _modules() -> Iterator[types.ModuleType]:
    for name in sorted(sys.stdlib_module_names):
        if name.startswith("_") or name in SKIPPED or (module := _import(name)) is None:
            continue
        yield module
        for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}.", onerror=lambda _: None):
            parts = found.name.split(".")
            if any(part.startswith("_") or part in ("test", "tests") for part in parts):
                continue
            if (inner := _import(found.name)) is not None:
                yield inner


def _import(name: str) -> types.ModuleType | None:
    # Some modules are for other systems, or lack a C library here: what cannot be imported has no docstring.
    try:
        return importlib.import_module(name)
    except Exception:
        return None


def _documented(module: types.ModuleType) -> Iterator[tuple[str, object]]:
    """The module, its public functions and classes, and their public members, by qualified name."""
    yield module.__name__, module
    for name, value in sorted(vars(module).items()):
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value) or inspect.isroutine(value):
            yield f"{module.__name__}.{name}", value
        if inspect.isclass(value):
            for inner, member in sorted(vars(value).items()):
                descriptor = inspect.isroutine(member) or inspect.isdatadescriptor(member)
                if not inner.startswith("_") and descriptor:
                    yield f"{module.__name__}.{name}.{inner}", member


if __name__ == "__main__":
    main()
