"""The list of small wrong changes is of the code as it is."""

from mutants import MUTANTS, ROOT, TESTS


def test_each_change_has_its_place_and_its_tests():
    for module, before, after in MUTANTS:
        code = (ROOT / "superpose" / f"{module}.py").read_text(encoding="utf-8")
        assert code.count(before) == 1, f"{module}: {before!r} is there {code.count(before)} times"
        assert after != before
        assert all((ROOT / "tests" / f"test_{name}.py").exists() for name in TESTS[module])
