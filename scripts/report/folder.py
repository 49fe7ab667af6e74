"""The folder of a report: never written over what is no report, never half a page."""

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from models.errors import InvalidInputError

PAGE = "index.html"
MARK = '<meta name="generator" content="hammingway report">'
PICTURE = re.compile(r'data-file="([a-z0-9_-]+\.png)"')


def check_folder(folder: Path) -> None:
    """Raises InvalidInputError unless the folder is missing, empty or a report: only these are written to."""
    if folder.is_dir():
        if any(folder.iterdir()) and _old_page(folder) is None:
            raise InvalidInputError(
                f"expected {folder} to be new, empty or an older report, got a folder of other files"
            )
    elif folder.exists() or folder.is_symlink():
        raise InvalidInputError(f"expected {folder} to be a folder, got something else")


def write_files(folder: Path, page: str, pictures: Mapping[str, bytes]) -> None:
    """Write the page and its pictures beside the folder, then move them in; pictures of an older report go.

    The page comes first: it stands without the pictures, and tells that the folder is a report.
    """
    check_folder(folder)
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    sibling = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        (sibling / PAGE).write_text(page, encoding="utf-8")
        for name, content in pictures.items():
            (sibling / name).write_bytes(content)
        sibling.chmod(0o755)
        if not folder.exists():
            sibling.rename(folder)
            return
        stale = set(PICTURE.findall(_old_page(folder) or "")) - set(pictures)
        for name in (PAGE, *pictures):
            (sibling / name).replace(folder / name)
        for name in stale:
            (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(sibling, ignore_errors=True)


def _old_page(folder: Path) -> str | None:
    """The page of an older report, None where there is none."""
    try:
        page = (folder / PAGE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return page if MARK in page[:1000] else None
