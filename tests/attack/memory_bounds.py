"""What docs/reference/settings.md says that each limit bounds in memory, as expressions over the settings."""

import re

from service.settings import Settings
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "reference" / "settings.md"
_ROW = re.compile(r"^\| `--([a-z-]+)` \| [^|]+ \| `([0-9a-z_*+ ()]+)` \|$", re.MULTILINE)


def expressions() -> dict[str, str]:
    """The expression of each limit, by the setting's name."""
    section = PAGE.read_text().partition("\n## Memory\n")[2].partition("\n## ")[0]
    return {name.replace("-", "_"): expression for name, expression in _ROW.findall(section)}


def most_bytes(settings: Settings, *names: str) -> float:
    """What a process may take for these limits together, beyond what it takes at rest; of all where none is named."""
    chosen = expressions()
    values = settings.model_dump()
    return float(sum(eval(chosen[name], {"__builtins__": {}}, values) for name in names or chosen))
