import pytest

from models.errors import InvalidInputError
from models.versions import find_folder, next_folder, versions


def test_versions_count_up_past_nine(tmp_path) -> None:
    assert next_folder(tmp_path / "absent", "a") == tmp_path / "absent" / "a@1"
    for name in ("a@9", "a@10", "b@2", "a@x", ".a@11.tmp", "notes"):
        (tmp_path / name).mkdir()
    assert versions(tmp_path) == {"a": [9, 10], "b": [2]}
    assert next_folder(tmp_path, "a") == tmp_path / "a@11"
    assert find_folder(tmp_path / "a") == tmp_path / "a@10"
    assert find_folder(tmp_path / "a@9") == tmp_path / "a@9"
    with pytest.raises(InvalidInputError, match="a@9, a@10, b@2"):
        find_folder(tmp_path / "c")
    with pytest.raises(InvalidInputError, match="small letters"):
        next_folder(tmp_path, "../x")
