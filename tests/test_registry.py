"""The registry itself, and what every entry must declare."""

import re
import types

import pytest

from kzoo import registry, testing
from kzoo.registry import Entry

ENTRIES = registry.entries()
TINY = {
    "layer": {"args", "input_shape"},
    "initializer": {"args", "shape"},
    "loss": {"args", "teacher_shape", "student_shape"},
    "schedule": {"args"},
    "application": {"args", "input_shape"},
    "trainer": {"build"},
    "callback": {"build"},
    "dataset": set(),
}
FACTS = {
    "layer": {"training", "rank", "sizes", "losses"},
    "initializer": {"mean", "variance"},
    "loss": {"per_sample", "zero_at_equal", "logits"},
    "schedule": set(),
    "application": {"parameters", "stages", "min_size"},
    "trainer": {"players", "passes", "data"},
    "callback": set(),
    "dataset": {"argument"},
}


@pytest.fixture
def empty(monkeypatch):
    """A registry without entries that loads no package."""
    monkeypatch.setattr(registry, "_entries", {})
    monkeypatch.setattr(registry, "_load", lambda: None)


def made(name):
    return types.new_class(name)


@pytest.mark.usefixtures("empty")
class TestRegister:
    def test_an_entry_is_found_by_name_and_alias_in_any_case(self):
        target = registry.register("callback", aliases=("Other-Name",))(made("Thing"))
        assert registry.get("callback", "thing").target is target
        assert registry.get("callback", "OTHER-name").target is target
        assert [entry.target for entry in registry.find("other-name")] == [target]

    def test_the_summary_is_the_first_line(self):
        thing = made("Thing")
        thing.__doc__ = "\n    First line.\n\n    More."
        registry.register("callback")(thing)
        assert registry.get("callback", "Thing").summary == "First line."

    @pytest.mark.parametrize(
        ("name", "aliases"), [("Thing", ()), ("thing", ()), ("New", ("alias",)), ("Alias", ())]
    )
    def test_a_taken_name_or_alias_is_refused(self, name, aliases):
        registry.register("callback", aliases=("Alias",))(made("Thing"))
        with pytest.raises(ValueError, match="already taken by Thing"):
            registry.register("callback", aliases=aliases)(made(name))

    def test_another_kind_may_use_the_name(self):
        registry.register("callback")(made("Thing"))
        registry.register("dataset")(made("Thing"))
        assert [entry.kind for entry in registry.find("Thing")] == ["callback", "dataset"]

    def test_an_unknown_name_gets_the_nearest(self):
        registry.register("callback", aliases=("FitNets",))(made("Thing"))
        with pytest.raises(ValueError, match="Did you mean 'FitNets'"):
            registry.find("fitnet")
        with pytest.raises(ValueError, match=r"Unknown callback: 'xyz'. Known: FitNets, Thing\."):
            registry.get("callback", "xyz")

    def test_an_unknown_kind_gets_the_nearest(self):
        with pytest.raises(ValueError, match="Did you mean 'layer'"):
            registry.register("layers")
        with pytest.raises(ValueError, match=r"Unknown kind: 'zebra'\. Known: application"):
            registry.entries("zebra")

    def test_entries_are_sorted_by_kind_and_name(self):
        registry.register("dataset")(made("A"))
        registry.register("callback")(made("C"))
        registry.register("callback")(made("B"))
        assert [entry.name for entry in registry.entries()] == ["B", "C", "A"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind}-{entry.name}")
class TestEntries:
    def test_tiny_and_facts_have_the_keys_of_the_kind(self, entry: Entry):
        assert set(entry.tiny) - {"context", "made"} == TINY[entry.kind] or entry.kind == "callback"
        assert set(entry.facts) <= FACTS[entry.kind]

    def test_expected_failures_name_checks_and_reasons(self, entry: Entry):
        assert set(entry.xfail) <= set(testing.checks(entry.kind))
        assert all(len(reason) > 10 for reason in entry.xfail.values())

    def test_summary_is_a_sentence(self, entry: Entry):
        assert entry.summary.endswith(".")

    def test_paper_is_an_identifier_or_empty(self, entry: Entry):
        assert re.fullmatch(r"|arXiv:\d{4}\.\d{4,5}|10\.\d{4,}/\S+", entry.paper)


@pytest.mark.parametrize("entry", registry.entries("application"), ids=lambda entry: entry.name)
def test_applications_declare_counts_and_stages(entry):
    assert {"parameters", "stages", "min_size"} <= set(entry.facts)


@pytest.mark.parametrize(
    ("name", "found"),
    [("KD", "SoftTargets"), ("FitNets", "Hint"), ("DenseNet-BC", "DenseNetBC")],
)
def test_readers_find_what_the_papers_call_it(name, found):
    assert found in [entry.name for entry in registry.find(name)]
