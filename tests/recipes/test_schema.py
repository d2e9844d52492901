import pytest

from kzoo.recipes import flags, schema

MINIMAL = """
[model]
name = "LeNet5"
"""
DISTILLED = """
[model]
name = "DenseNetBC"
args = { depth = 10 }
[teacher]
name = "densenet-bc"
[trainer]
name = "Distiller"
[[trainer.losses]]
name = "KD"
args = { temperature = 2.0 }
"""
LOSSES = '[[methods.losses]]\nname = "KD"\n'
STAGED = '[[methods.losses]]\nname = "FSP"\nargs = { stage = "pretrain" }\n'
METHODS = MINIMAL + '[teacher]\nname = "LeNet5"\n[[methods]]\nname = "a"\n'


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "recipe.toml").write_text(text)
        return tmp_path

    return write


def test_aliases_become_names_so_that_the_identity_does_not_depend_on_spelling(write):
    recipe = schema.load(write(DISTILLED))
    assert recipe.teacher.name == "DenseNetBC"
    assert recipe.trainer.losses[0].name == "SoftTargets"


def test_run_id_ignores_titles_and_defaults_but_not_settings(write):
    plain = schema.load(write(MINIMAL)).run_id
    assert schema.load(write('title = "x"' + MINIMAL)).run_id == plain
    assert schema.load(write(MINIMAL), {"train": {"epochs": 10}}).run_id == plain
    assert schema.load(write(MINIMAL), {"train": {"epochs": 11}}).run_id != plain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "[train]\nepoch = 3", r"unknown key 'train.epoch'. Did you mean 'epochs'"),
        (MINIMAL + "[trian]\nepochs = 3", r"unknown key 'trian'. Did you mean 'train'"),
        (MINIMAL + "[train]\nxyzzy = 3", r"Known here: epochs, teacher_epochs, seeds"),
        ('[model]\nname = "LeNet6"', r"model.name: Unknown application: 'LeNet6'. Did you mean"),
        (DISTILLED + "argz = 1", r"unknown key 'trainer.losses.0.argz'. Did you mean 'args'"),
        (MINIMAL + "[train]\nepochs = 0", r"train.epochs: .*greater than 0"),
        (MINIMAL + '[trainer]\nname = "Distiller"', r"\[teacher\] and \[trainer\] name belong"),
        (
            DISTILLED + '[[methods]]\nname = "a"',
            r"give \[\[methods\]\] or \[trainer\] name, not both",
        ),
        (
            MINIMAL + '[[methods]]\nname = "a"\n' + LOSSES,
            r"whose trainer learns from a teacher need a \[teacher\] too",
        ),
        (
            MINIMAL + '[[methods]]\nname = "a"\ntrainer = "AdversarialDistillation"',
            r"whose trainer learns from a teacher need a \[teacher\] too",
        ),
        (
            MINIMAL + '[teacher]\nname = "LeNet5"\n[trainer]\nname = "DML"',
            r"MutualLearning has no teacher. Give it as the trainer of one of \[\[methods\]\]",
        ),
        (
            MINIMAL + '[[methods]]\nname = "a"\nsampler = { name = "Pairs" }',
            r"unknown sampler 'Pairs'",
        ),
        (
            MINIMAL + '[[methods]]\nname = "a"\ncallbacks = [{ name = "Graft" }]',
            r"Unknown callback: 'Graft'",
        ),
        (MINIMAL + '[[methods]]\nname = "a"\nlabel_noise = 1.0', r"label_noise: .*less than 1"),
        (METHODS + '[[methods]]\nname = "a"', r"needs a name of its own"),
        (METHODS + '[[methods]]\nname = "teacher"', r"other than 'teacher'"),
        (
            METHODS + LOSSES + '[[companions]]\nname = "KD"\n[[methods]]\nname = "a + SoftTargets"',
            r"'a \+ SoftTargets' is taken",
        ),
        (METHODS + STAGED, r"'FlowOfSolution' has a stage before fit.*pretrain_epochs"),
        (METHODS + LOSSES.replace("KD", "FT"), r"'FactorTransfer' has a stage before fit"),
        (MINIMAL + "[train]\nseeds = [1, 0, 1]", r"the same seed twice.*\[1, 0, 1\]"),
        (METHODS + '[[methods]]\nname = "b c"\n[[methods]]\nname = "b-c"', r"a name of its own"),
        (METHODS + "pretrain_epochs = 10", r"must be less than epochs, 10 here"),
        (METHODS + "pretrain_epochs = 1", r"need losses that have a stage before fit"),
        (MINIMAL + '[[companions]]\nname = "KD"', r"need \[\[methods\]\] to go with"),
        (METHODS + LOSSES + '[[companions]]\nname = "FT"', r"'FactorTransfer' has a stage before"),
        (METHODS.replace('"a"', '".."'), r"methods.0.name: String should match"),
        (MINIMAL + "[train]\nseeds = [-1]", r"train.seeds.0: .*greater than or equal to 0"),
        (METHODS + 'against = "b"', r"against: there is no method 'b'"),
        (METHODS + 'against = "teacher"', r"against: there is no method 'teacher'"),
        ("[model\n", r"not valid TOML"),
        ("", r"model: Field required"),
    ],
)
def test_a_bad_recipe_is_one_line_that_names_the_mend(write, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        schema.load(write(text))
    assert "\n" not in str(caught.value)


def test_a_missing_recipe_says_what_to_give(tmp_path):
    with pytest.raises(ValueError, match=r"No recipe at .*Give a recipe.toml"):
        schema.load(tmp_path)


def test_flags_are_the_fields_of_the_schema():
    known = flags.known()
    assert "train.epochs" in known
    assert known["train.epochs"].endswith("[10]")
    assert "teacher.name" in known
    lists = ("trainer.losses", "methods", "companions")
    assert not [flag for flag in known if flag.startswith(lists)]


def test_flags_are_parsed_as_toml_and_nested(write):
    parsed = flags.parse(
        ["--train.epochs", "5", "--data.name=folder:a=b", "--model.args", "{depth=22}"]
    )
    assert parsed == {
        "train": {"epochs": 5},
        "data": {"name": "folder:a=b"},
        "model": {"args": {"depth": 22}},
    }
    assert schema.load(write(DISTILLED), parsed).model.args == {"depth": 22}


@pytest.mark.parametrize("words", [["--train.epochs"], ["train.epochs", "5"], ["--a", "--b", "c"]])
def test_flags_without_value_are_refused(words):
    with pytest.raises(ValueError, match="Flags come in pairs"):
        flags.parse(words)


def test_contradicting_flags_are_refused():
    with pytest.raises(ValueError, match="contradict"):
        flags.parse(["--train", "5", "--train.epochs", "3"])


@pytest.mark.parametrize(
    "words",
    [
        ["--train.epochs", "5", "--train", "{seeds=[1]}"],
        ["--model.args", "{depth=22}", "--model.args", "5"],
    ],
)
def test_a_section_as_a_whole_and_in_parts_is_refused(words):
    with pytest.raises(ValueError, match="as a whole and in parts"):
        flags.parse(words)


def test_smoke_is_another_run_of_one_epoch(write):
    recipe = schema.load(write(DISTILLED))
    smoke = recipe.smoke()
    assert smoke.train.epochs == 1
    assert smoke.model == recipe.model
    assert smoke.run_id != recipe.run_id


def test_smoke_leaves_a_first_stage_and_no_large_subset(write):
    losses = 'losses = [{ name = "AB", args = { stage = "pretrain" } }]\n'
    text = METHODS + "epochs = 100\ntrain_size = 300\npretrain_epochs = 5\n" + losses
    (method,) = schema.load(write(text)).smoke().methods
    assert (method.epochs, method.pretrain_epochs, method.train_size) == (2, 1, None)
