"""Manual pages become plain sections."""

import gzip
from pathlib import Path

import pytest

from models.errors import InvalidInputError
from scripts.quality import manpages
from scripts.quality.manpages import load, plain_sections

PAGE = r""".\" A comment
.TH open 2 2023-02-05 "Linux man-pages 6.03"
.SH NAME
open \- open a file
.SH "RETURN VALUE"
.PP
The
.BR open ()
call, see
.BI "int open(const char *" path ", int " flags );
returns \-1 in \fIerrno\fP \(aqx\(aq.
.TP 10
.B O_CREAT | O_EXCL
.IP \(bu 3
Words\&.  \" and a remark
"""


def test_a_page_without_fonts_and_layout() -> None:
    assert plain_sections(PAGE) == [
        ("NAME", "open - open a file"),
        (
            "RETURN VALUE",
            "The open() call, see int open(const char *path, int flags); returns -1 in errno 'x'. "
            "O_CREAT | O_EXCL Words.",
        ),
    ]


def test_long_sections_of_the_project_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manpages, "FEWEST_WORDS", 10)
    (tmp_path / "man2").mkdir()
    (tmp_path / "man3").mkdir()
    (tmp_path / "man2" / "open.2.gz").write_bytes(gzip.compress(PAGE.encode()))
    (tmp_path / "man2" / "creat.2.gz").symlink_to("open.2.gz")
    (tmp_path / "man3" / "other.3").write_text(PAGE.replace("Linux man-pages 6.03", "Other 1.0"))
    assert [section.id for section in load(tmp_path)] == ["open.2#RETURN VALUE"]


def test_no_pages_are_told_with_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="apt install manpages-dev"):
        load(tmp_path)
