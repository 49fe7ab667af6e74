from pathlib import Path
from types import SimpleNamespace

from tests.spreading import APART, LONGEST, TOGETHER, longest_first, unit

ROOT = Path(__file__).parent.parent


def test_a_file_is_a_unit_and_all_tests_of_one_milvus_are_one() -> None:
    assert unit("tests/service/index/test_flat.py::test_ties[a::b]") == "tests/service/index/test_flat.py"
    assert unit("tests/milvus/test_bounds.py::test_a") == unit("tests/milvus/test_server.py::test_b") == TOGETHER
    for file in APART:
        assert unit(f"{file}::test_a") == file
        assert "milvus: MilvusServer" not in (ROOT / file).read_text()


def test_the_longest_come_first_and_all_others_as_they_were() -> None:
    given = ["tests/docs/test_links.py::a", "tests/faults/test_sigkill.py::a", "tests/milvus/test_server.py::a"]
    given += ["tests/docs/test_links.py::b", "tests/milvus/test_bounds.py::a", "tests/test_readme.py::a"]
    ordered = [item.nodeid for item in longest_first([SimpleNamespace(nodeid=nodeid) for nodeid in given])]
    assert ordered == [given[number] for number in (2, 4, 1, 0, 3, 5)]


def test_what_is_said_to_take_long_is_there() -> None:
    for name in (*LONGEST, *APART):
        assert (ROOT / name).exists(), name
