"""`pydocs`: the docstrings of the Python standard library, read from the interpreter that runs."""

import contextlib
import importlib
import inspect
import io
import pkgutil
import sys
import types
import warnings
from collections.abc import Iterator

from scripts.datasets.dataset import Dataset, Item

# These open windows or browsers, print poems, or are not meant to be imported.
SKIPPED = {"antigravity", "idlelib", "lib2to3", "test", "this", "tkinter", "turtle", "turtledemo"}


def load() -> Dataset:
    """One item for each distinct public docstring: its name and first paragraph, labelled by module."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        items = list(_items())
    return Dataset("pydocs", "text", len(items), lambda: iter(items))


def _items() -> Iterator[Item]:
    seen: set[str] = set()
    for module in _modules():
        for name, documented in _documented(module):
            docstring = getattr(documented, "__doc__", None)
            if not isinstance(docstring, str) or not docstring.strip() or docstring in seen:
                continue
            seen.add(docstring)
            summary = inspect.cleandoc(docstring).split("\n\n")[0]
            text = f"{name}: {' '.join(summary.split())}"
            label = module.__name__
            yield Item(name, text, label, {"label": label, "text": text})


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
        # Programs put their own functions in place of the hooks of sys.
        if name.startswith("_") or (module is sys and name.endswith("hook")):
            continue
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value) or inspect.isroutine(value):
            yield f"{module.__name__}.{name}", value
        if inspect.isclass(value):
            for inner, member in sorted(vars(value).items()):
                descriptor = inspect.isroutine(member) or inspect.isdatadescriptor(member)
                if not inner.startswith("_") and descriptor:
                    yield f"{module.__name__}.{name}.{inner}", member
