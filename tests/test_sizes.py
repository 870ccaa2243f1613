"""What is too large for the machine is refused before the work, in one line; and how long the rest takes is told."""

from dataclasses import fields, replace

import pytest

from superpose import costs, memory
from superpose.papers import experiments

SIZES = [
    (name, field.name)
    for name, each in experiments().items()
    for field in fields(each.module().Config)
    if isinstance(field.default, int) and not isinstance(field.default, bool) and field.name != "seed"
]


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_any_size_that_is_too_large_is_refused_in_one_line(name, size):
    Config = experiments()[name].module().Config
    for value in (10**12, 10**18):
        with pytest.raises((MemoryError, ValueError)) as refused:
            costs.check_room(Config(**{size: value}))
        said = str(refused.value)
        assert "\n" not in said
        assert size.replace("_", "-") in said.replace("_", "-")


@pytest.mark.parametrize("name", experiments())
def test_every_experiment_fits_where_it_is_not_changed(name, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 4 * 10**9)
    each = experiments()[name]
    Config = each.module().Config
    for config in (Config(), Config(**each.quick)):
        costs.check_room(config)
        assert config.cost.seconds > 0
    assert Config(**each.quick).cost.seconds < Config().cost.seconds


def test_more_models_take_more():
    Config = experiments()["intro"].module().Config
    few, many = Config().cost, replace(Config(), members=400).cost
    assert many.seconds == pytest.approx(10 * few.seconds)
    assert many.numbers == pytest.approx(10 * few.numbers)


def test_the_setting_that_takes_most_is_named(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 10**9)
    Config = experiments()["intro"].module().Config
    with pytest.raises(
        MemoryError, match=r"a run with members 10000000 needs about .* GB of memory, and 1.0 GB are free"
    ):
        costs.check_room(Config(members=10**7, row=20))
    with pytest.raises(MemoryError, match="give a lower --row"):
        costs.check_room(Config(members=50, row=10**7))


def test_a_container_has_less_memory_than_its_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    machine = memory.free()
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert memory.free() == pytest.approx(machine, rel=0.2)
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory.free() == 4000
    (tmp_path / "memory.max").write_text("500\n")
    assert memory.free() == 0
