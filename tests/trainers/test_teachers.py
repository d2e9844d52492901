"""Teachers that differ from the student: inputs, classes, dtype, number."""

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.losses import Hint, SoftTargets, soft_targets
from kzoo.trainers import Distiller, Teacher, TeacherEnsemble
from tests.trainers.models import CLASSES, classifier, distiller, equal, images, values

SPARSE = "sparse_categorical_crossentropy"


def logits_of(model, x):
    shown = keras.Model(model.input, model.get_layer("logits").output)
    return ops.convert_to_numpy(ops.cast(shown(x, training=False), "float32"))


def mean(value):
    return float(ops.convert_to_numpy(ops.mean(value)))


def still(student):
    """A student that training leaves as it is, and whose training mode equals inference."""
    for layer in student.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    return student


def terms(teacher, losses, x, y, student=None):
    """The logs of one batch without any change to the student."""
    trainer = Distiller(student or still(classifier("student")), teacher, losses)
    trainer.compile(keras.optimizers.SGD(0.0), SPARSE, run_eagerly=True)
    return trainer, trainer.fit(x, y, batch_size=len(x), verbose=0).history


def test_another_resolution_and_preprocessing(tmp_path):
    x, y = images(4)
    inputs = keras.Input((16, 16, 1))
    pooled = keras.layers.AveragePooling2D(2)(inputs)
    inner = classifier("inner")
    large = keras.Model(inputs, inner(pooled), name="teacher")
    zoom = keras.Sequential([keras.layers.UpSampling2D(2), keras.layers.Rescaling(2.0)])
    student = still(classifier("student"))
    trainer, logs = terms(Teacher(large, preprocess=zoom), SoftTargets(), x, y, student)
    expected = mean(soft_targets(logits_of(inner, 2 * x), logits_of(student, x)))
    np.testing.assert_allclose(logs["soft_targets"], [expected], rtol=1e-4)
    trainer.save(tmp_path / "trainer.keras")
    again = keras.saving.load_model(tmp_path / "trainer.keras")
    assert equal(values(again.teacher.weights), values(large.weights))
    assert [type(layer).__name__ for layer in again.teachers[0].preprocess.layers] == [
        "UpSampling2D", "Rescaling",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"same inputs.*preprocess="):
        Distiller(student, large, SoftTargets())


def test_a_function_preprocesses():
    x, y = images(4)
    teacher, student = classifier("teacher"), still(classifier("student"))
    _, logs = terms(Teacher(teacher, preprocess=lambda x: 1.0 - x), SoftTargets(), x, y, student)
    expected = mean(soft_targets(logits_of(teacher, 1 - x), logits_of(student, x)))
    np.testing.assert_allclose(logs["soft_targets"], [expected], rtol=1e-4)


def test_other_classes_by_an_index_map():
    x, y = images(6)
    teacher, student = classifier("teacher", classes=5), still(classifier("student"))
    _, logs = terms(Teacher(teacher, classes=[4, 0, 2]), SoftTargets(2.0), x, y, student)
    mapped = logits_of(teacher, x)[:, [4, 0, 2]]
    expected = mean(soft_targets(mapped, logits_of(student, x), 2.0))
    np.testing.assert_allclose(logs["soft_targets"], [expected], rtol=1e-4)
    np.testing.assert_allclose(logs["teacher_accuracy"], [np.mean(mapped.argmax(-1) == y)])
    with pytest.raises(ValueError, match="names class 5, but the teacher 'teacher' has 5 classes"):
        Distiller(student, Teacher(teacher, classes=[0, 1, 5]), SoftTargets())
    with pytest.raises(ValueError, match="5 classes of the teacher, 3 of the student"):
        Distiller(student, teacher, SoftTargets())


@pytest.mark.parametrize("policies", [("float32", "mixed_float16"), ("mixed_float16", "float32")])
def test_another_dtype_policy(policies):
    x, y = images(8)
    models = []
    for name, policy in zip(("student", "teacher"), policies, strict=True):
        keras.config.set_dtype_policy(policy)
        models.append(classifier(name))
    keras.config.set_dtype_policy("float32")
    trainer = Distiller(*models, [SoftTargets(), Hint("stage2", "stage2")])
    trainer.compile("sgd", SPARSE, run_eagerly=True)
    logs = trainer.fit(x, y, verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert logs["hint"][0] > 0


def test_several_teachers_each_with_its_weight(tmp_path):
    x, y = images(4)
    first, second = classifier("one"), classifier("two", filters=4)
    student = still(classifier("student"))
    given = [Teacher(first, weight=0.7), Teacher(second, weight=0.3)]
    trainer, logs = terms(given, [SoftTargets(), Hint("stage2", "stage2")], x, y, student)
    for teacher, weight in ((first, 0.7), (second, 0.3)):
        found = mean(soft_targets(logits_of(teacher, x), logits_of(student, x)))
        np.testing.assert_allclose(
            logs[f"soft_targets_{teacher.name}"], [weight * found], rtol=1e-4
        )
        assert f"teacher_accuracy_{teacher.name}" in logs
    names = ["task_loss", "soft_targets_one", "soft_targets_two", "hint_one", "hint_two"]
    np.testing.assert_allclose(logs["loss"], [sum(logs[n][0] for n in names)], rtol=1e-5)
    # Each teacher's width calls for a projector of its own, and both are trained.
    shapes = {tuple(v.shape) for v in trainer.trainable_variables} & {(1, 1, 4, 4), (1, 1, 4, 8)}
    assert len(shapes) == 2
    trainer.save(tmp_path / "trainer.keras")
    again = keras.saving.load_model(tmp_path / "trainer.keras")
    assert [t.weight for t in again.teachers] == [0.7, 0.3]
    for teacher, old in zip(again.teacher_models, (first, second), strict=True):
        assert equal(values(teacher.weights), values(old.weights))
    assert len(again.distillation_losses) == 4


def test_plain_models_share_the_weight():
    x, y = images(4)
    student, teacher = still(classifier("student")), classifier("teacher")
    twin = keras.models.clone_model(teacher)
    twin.set_weights(teacher.get_weights())
    _, one = terms(teacher, SoftTargets(), x, y, student)
    trainer, two = terms([teacher, twin], SoftTargets(), x, y, student)
    parts = [value for name, (value,) in two.items() if name.startswith("soft_targets")]
    np.testing.assert_allclose(parts, [one["soft_targets"][0] / 2] * 2, rtol=1e-4)
    assert len(trainer.teachers) == 2


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_an_ensemble_teaches_with_its_mean(average):
    x, y = images(4)
    first, second = classifier("one"), classifier("two", classes=5)
    members = [Teacher(first, weight=3), Teacher(second, classes=[2, 1, 0])]
    student = still(classifier("student"))
    trainer, logs = terms(TeacherEnsemble(members, average), SoftTargets(), x, y, student)
    shown = [logits_of(first, x), logits_of(second, x)[:, [2, 1, 0]]]
    if average == "logits":
        target = 0.75 * shown[0] + 0.25 * shown[1]
    else:
        soft = [np.exp(z) / np.exp(z).sum(-1, keepdims=True) for z in shown]
        target = np.log(0.75 * soft[0] + 0.25 * soft[1])
    expected = mean(soft_targets(target.astype("float32"), logits_of(student, x)))
    np.testing.assert_allclose(logs["soft_targets"], [expected], rtol=1e-4)
    again = Distiller.from_config(trainer.get_config())
    assert again.teachers[0].shares == [0.75, 0.25]


def test_what_an_ensemble_refuses():
    student = classifier("student")
    with pytest.raises(ValueError, match="at least one model"):
        TeacherEnsemble([])
    with pytest.raises(ValueError, match="`average` must be one of"):
        TeacherEnsemble([classifier("a")], average="median")
    with pytest.raises(ValueError, match=r"shows logits only\. Received: the tap 'stage2'"):
        Distiller(student, TeacherEnsemble([classifier("a")]), Hint("stage2", "stage2"))
    mixed = TeacherEnsemble([classifier("a"), classifier("b", classes=5)])
    with pytest.raises(ValueError, match="must have the same classes"):
        Distiller(student, mixed, SoftTargets())


def test_batch_statistics_are_used_and_nothing_of_the_teacher_changes():
    x, y = images(8)
    teacher, student = classifier("teacher"), still(classifier("student"))
    before = values(teacher.weights)
    tap = Hint("stage1", "stage1", projector=None)
    _, logs = terms(Teacher(teacher, batch_statistics=True), tap, x, y, student)
    shown = [
        keras.Model(m.input, m.get_layer("stage1").output)(x, training=mode)
        for m, mode in ((keras.models.clone_model(teacher), True), (student, False))
        if m.set_weights(teacher.get_weights() if mode else m.get_weights()) is None
    ]
    expected = 0.5 * np.sum(np.square(ops.convert_to_numpy(shown[0] - shown[1]))) / len(x)
    np.testing.assert_allclose(logs["hint"], [expected], rtol=1e-4)
    assert equal(before, values(teacher.weights))
    _, plain = terms(teacher, tap, x, y, student)
    assert abs(plain["hint"][0] - expected) > 1e-3 * expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Teacher("resnet"), "A teacher must be a keras.Model"),
        (lambda: Teacher(classifier("a"), weight=0), "`weight` of a teacher must be"),
        (lambda: Teacher(classifier("a"), preprocess=3), "`preprocess` must be a Keras layer"),
        (lambda: Teacher(classifier("a"), classes=[-1, 0]), "`classes` must give"),
        (lambda: Distiller(classifier("s"), [], SoftTargets()), "`teacher` is an empty list"),
        (lambda: Distiller(classifier("s"), "t", SoftTargets()), "`teacher` must be a keras.Model"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_labels_that_are_missing_are_asked_for():
    class Labelled(SoftTargets):
        def call(self, teacher, student, labels):
            return super().call(teacher, student) * ops.cast(labels, "float32")

    class Indexed(SoftTargets):
        def call(self, teacher, student, sample_index):
            return super().call(teacher, student) * ops.cast(sample_index, "float32")

    x, y = images(4)
    _, plain = terms(classifier("teacher"), SoftTargets(), x, y)
    assert plain["soft_targets"][0] > 0
    trainer = distiller([Labelled()], loss=None)
    with pytest.raises(ValueError, match="needs the class of each sample"):
        trainer.fit(x, verbose=0)
    with pytest.raises(ValueError, match=r"needs the number of each sample.*sample_index=True"):
        distiller([Indexed()]).fit(x, y, verbose=0)
    trainer = distiller([Indexed()])
    columns = {"inputs": x, "sample_index": np.zeros(4, "int32")}
    with pytest.warns(UserWarning, match="exactly 0"):
        trainer.fit(columns, y, verbose=0)
    assert trainer.predict(columns, verbose=0).shape == (4, CLASSES)


def test_class_scores_under_another_name_are_refused_where_classes_are_mapped():
    mapped = Teacher(classifier("teacher"), classes=[2, 1, 0])
    loss = SoftTargets(teacher_tap="predictions")
    with pytest.raises(ValueError, match=r"'predictions' of the teacher .* looks like its class"):
        Distiller(classifier("student"), mapped, loss)


def test_one_teacher_serves_several_trainers():
    shared = Teacher(classifier("teacher", filters=4))
    first = distiller([Hint("stage1", "stage1")], teacher=shared)
    second = distiller([SoftTargets()], teacher=shared)
    for trainer in (first, second):
        trainer.fit(*images(), verbose=0)


def test_each_teacher_has_terms_of_its_own_whatever_the_names():
    teachers = [classifier("net"), classifier("net"), classifier("net_1")]
    log = distiller([SoftTargets()], teacher=teachers).fit(*images(), verbose=0).history
    assert len([name for name in log if name.startswith("soft_targets_")]) == 3


def test_a_normalisation_that_is_not_built_may_come_before_a_teacher():
    first = keras.layers.Normalization(mean=[0.5], variance=[2.0])
    teacher = Teacher(classifier("teacher"), preprocess=first)
    trainer = distiller([SoftTargets()], teacher=teacher, run_eagerly=False)
    trainer.fit(*images(), verbose=0)
    trainer.fit(*images(5), verbose=0)


def test_a_teacher_of_other_classes_is_not_asked_for_its_accuracy(recwarn):
    teacher = classifier("teacher", classes=CLASSES + 1)
    trainer = distiller([Hint("stage1", "stage1")], teacher=teacher)
    log = trainer.fit(*images(100), verbose=0).history
    assert not {"teacher_accuracy", "agreement"} & set(log)
    assert not [w for w in recwarn if "no better than chance" in str(w.message)]
