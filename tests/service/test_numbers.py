"""Numbers that come as text: one way to write them, or the same job would have many paths."""

import pytest
from pydantic import ValidationError

from service.http.replies.wording import told
from service.settings import Settings

ODD = ["1_0", " 10", "10 ", "+10", "10.0", "010", "1e1", "", "-", "\uff11\uff10"]


@pytest.mark.parametrize("written", ODD)
@pytest.mark.parametrize("name", ["port", "queue", "max_pixels"])
def test_a_setting_that_is_whole_is_written_in_digits(name: str, written: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({name: written})
    (fault,) = caught.value.errors()
    assert (fault["loc"], told(fault)) == ((name,), f"expected an integer, got {written!r}")
    assert getattr(Settings.model_validate({name: "10"}), name) == 10


@pytest.mark.parametrize("name", ["max_seconds", "store_seconds"])
def test_a_setting_of_seconds_is_a_number(name: str) -> None:
    for written in ("1_0", "1_0.5", " 1", "ten"):
        with pytest.raises(ValidationError) as caught:
            Settings.model_validate({name: written})
        (fault,) = caught.value.errors()
        assert told(fault) == f"expected a number, got {written!r}"
    for written, value in (("10", 10.0), ("0.5", 0.5), ("1e-05", 1e-05)):
        assert getattr(Settings.model_validate({name: written}), name) == value


def test_what_worker_processes_are_told_is_what_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(max_seconds=1e-05, queue=10**18, port=0)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
