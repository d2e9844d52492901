"""Methods without a fixed teacher side by side: peers, callbacks, samplers, views, wrong labels."""

import pytest

from kzoo.recipes import _training_costs, files, parts, plan, report, run, schema
from kzoo.trainers import PlayerOptimizers

PEER = {"name": "ResNet", "args": {"depth": 8, "filters": 3, "name": "peer"}}
RECIPE = {
    "title": "tiny",
    "model": {"name": "ResNet", "args": {"depth": 8, "filters": 2, "name": "first"}},
    "data": {
        "train_size": 60,
        "batch_size": 30,
        "validation_fraction": 0.1,
        "augment": "shift",
    },
    "train": {"epochs": 2, "seeds": [0, 1], "tensorboard": False},
    "methods": [
        {"name": "alone"},
        {
            "name": "mutual",
            "trainer": "DML",
            "peers": [PEER],
            "against": "alone",
            "optimizers": {"peer": {"name": "Adam", "learning_rate": 0.003}},
        },
        {
            "name": "snapshots",
            "callbacks": [{"name": "SnapshotEnsemble", "args": {"cycles": 2}}],
            "schedule": "constant",
            "shows": "ensemble",
        },
        {
            "name": "pairs",
            "trainer": "CS-KD",
            "batch_size": 40,
            "sampler": {"name": "SameClassPairs"},
        },
        {"name": "views", "trainer": "DDGSD", "views": 2},
        {"name": "heads", "trainer": "CollaborativeLearning", "args": {"num_heads": 2}},
        {"name": "noisy", "label_noise": 0.5},
    ],
}
pytestmark = pytest.mark.tensorflow


def recipe(**changes):
    return schema.Recipe.model_validate({**RECIPE, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("together")
    with pytest.MonkeyPatch.context() as patch:
        # A fresh process for each row takes long.
        patch.setattr(_training_costs, "in_fresh_process", _training_costs.measure)
        return out, run.train(recipe(), out)


@pytest.mark.slow
def test_every_method_is_trained_without_a_teacher(finished):
    out, results = finished
    assert list(results["rows"]) == [method["name"] for method in RECIPE["methods"]]
    for row in results["rows"].values():
        assert [r["seed"] for r in row["per_seed"]] == [0, 1]
        assert row["training"]["step_ms"] > 0
    assert results["rows"]["mutual"]["losses"] == ["MutualLearning"]
    assert results["rows"]["snapshots"]["losses"] == ["SnapshotEnsemble"]
    assert results["rows"]["alone"]["losses"] == []
    assert results["exported"] != "snapshots"
    assert (out / "exports" / "saved_model").exists()


@pytest.mark.slow
def test_all_that_came_out_is_measured(finished):
    _, results = finished
    header, *rows = parts.table(results)
    assert header[:2] == ["method", "classifier"]
    named = {(row[0], row[1]) for row in rows}
    assert {("mutual", "first"), ("mutual", "peer"), ("mutual", "ensemble")} <= named
    assert {("heads", "head1"), ("heads", "head2"), ("snapshots", "ensemble")} <= named
    assert not any(row[0] == "alone" for row in rows)
    for seed in results["rows"]["mutual"]["per_seed"]:
        assert seed["test"] == seed["parts"]["first"]["test"]
    for seed in results["rows"]["snapshots"]["per_seed"]:
        assert seed["test"] == seed["parts"]["ensemble"]["test"]
    assert "All that came out of each training" in report.card(results)


@pytest.mark.slow
def test_a_second_call_trains_nothing(finished, monkeypatch):
    out, results = finished
    monkeypatch.setattr(run._phase, "train", None)
    assert run.train(recipe(), out)["rows"] == results["rows"]
    (out / files.RESULTS).rename(out / "kept.json")
    monkeypatch.undo()
    again = run.train(recipe(), out)
    (out / "kept.json").unlink()
    assert again["rows"]["mutual"]["test"] == results["rows"]["mutual"]["test"]


def phase_of(name, described=None):
    described = described or recipe()
    dataset = run.build.dataset(described.data)
    (phase,) = [p for p in plan.phases(described, dataset.spec) if p.name == name]
    return phase, described, dataset


def test_feed_and_clock_of_samplers_and_views():
    pairs, described, dataset = phase_of("pairs")
    feed = pairs.feed(described)
    assert (feed["batch_size"], feed["sampler"].batch_size) == (40, 40)
    assert pairs.clock(described, dataset).steps == 3
    views = phase_of("views")[0]
    assert views.feed(described)["views"] == 2
    assert views.clock(described, dataset).steps == 2
    noisy = phase_of("noisy")[0].sees(dataset)
    assert (noisy.arrays("train")[1] != dataset.arrays("train")[1]).sum() == 30


def test_each_player_has_its_optimizer():
    phase, described, dataset = phase_of("mutual")
    fitted, classifier = phase.make({}, phase.clock(described, dataset))
    optimizer = run._phase._trainers.optimizer(
        fitted,
        lambda section: run.build.optimizer(section, epochs=2, steps=2),
        phase.method,
        described,
    )
    assert isinstance(optimizer, PlayerOptimizers)
    assert type(optimizer["peer"]).__name__ == "Adam"
    assert type(optimizer["first"]).__name__ == "SGD"
    assert classifier is fitted.models[0]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"optimizers": {"second": {}}}, "there is no player 'second'. Players: first, peer"),
        ({"shows": "exit"}, "no classifier 'exit' comes out"),
        ({"args": {"modes": "sequential"}}, "MutualLearning: .*modes"),
        ({"peers": []}, "two or more keras.Model"),
        ({"callbacks": [{"name": "SnapshotEnsemble", "args": {"cycle": 2}}]}, "the callback Snap"),
        ({"trainer": "CS-KD", "sampler": {"name": "SameClassPairs", "args": {"a": 1}}}, "sampler"),
    ],
)
def test_what_cannot_be_made_is_an_error_before_anything_is_trained(tmp_path, method, message):
    changed = {**RECIPE["methods"][1], "against": None, "optimizers": {}, **method}
    described = recipe(methods=[RECIPE["methods"][0], changed])
    with pytest.raises(ValueError, match=message):
        run.train(described, tmp_path)
    assert not list(tmp_path.iterdir())


def test_smoke_keeps_one_method_of_each_kind():
    described = recipe().smoke()
    assert [m.name for m in described.methods] == [
        "alone", "mutual", "snapshots", "pairs", "views", "heads",
    ]  # fmt: skip
    assert described.methods[3].batch_size == 16
