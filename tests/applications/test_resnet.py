import math
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras import ops

from kzoo.applications import LeNet5, LeNet300100, ResNet
from kzoo.applications.resnet import preprocess_input
from tests.helpers import random_array


def trainable(model):
    return sum(math.prod(v.shape) for v in model.trainable_variables)


def closed_form(depth, filters=16, channels=3, classes=10, shortcut="A"):
    """Convolutions 9 c_in c_out, two values a channel in each normalisation, the classifier."""
    n, f = (depth - 2) // 6, filters
    convolutions = 9 * f * (channels + 2 * n * f)
    convolutions += sum(9 * w * (w // 2 + (2 * n - 1) * w) for w in (2 * f, 4 * f))
    normalisations = 2 * (f + 2 * n * (f + 2 * f + 4 * f))
    projections = 2 * f * f + 8 * f * f + 2 * (2 * f + 4 * f) if shortcut == "B" else 0
    return convolutions + normalisations + projections + (4 * f + 1) * classes


def features(model, *names):
    return keras.Model(model.input, [model.get_layer(name).output for name in names])


def test_closed_form_gives_the_published_counts():
    published = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962}
    assert {depth: closed_form(depth) for depth in published} == published
    assert closed_form(1202) == 19_421_274


@pytest.mark.parametrize(
    "args",
    [
        {"depth": 14, "filters": 3},
        {"depth": 14, "filters": 2, "classes": 7, "shortcut": "B"},
        {"depth": 8, "filters": 5, "shortcut": "B"},
    ],
)
def test_parameters(args):
    model = ResNet(**args, input_shape=(12, 8, 1))
    assert trainable(model) == closed_form(**args, channels=1)


@pytest.mark.slow
def test_the_deepest_of_the_paper():
    limit = sys.getrecursionlimit()
    model = ResNet(depth=1202)
    assert trainable(model) == 19_421_274
    assert sys.getrecursionlimit() == limit


@pytest.mark.parametrize("size", [(8, 8), (9, 14), (13, 11)])
def test_shortcut_a_takes_every_second_pixel_and_appends_zeros(size):
    """With silent branches the stages are nothing but their shortcuts."""
    model = ResNet(depth=14, filters=3, input_shape=(*size, 3))
    for layer in model.layers:
        if layer.name.endswith("_bn2"):
            layer.gamma.assign(ops.zeros(layer.gamma.shape))
    outputs = features(model, "stem", "stage1", "stage2", "stage3")(random_array(2, *size, 3))
    stem, *stages = (ops.convert_to_numpy(output) for output in outputs)
    assert stem.any()
    for step, stage in zip((1, 2, 4), stages, strict=True):
        expected = stem[:, ::step, ::step]
        zeros = np.zeros((*expected.shape[:3], 3 * (step - 1)), "float32")
        np.testing.assert_array_equal(stage, np.concatenate([expected, zeros], axis=-1))


@pytest.mark.parametrize("size", [(8, 8), (9, 12)])
def test_strided_convolutions_are_centred_on_the_pixels_of_the_shortcut(size):
    model = ResNet(depth=8, filters=2, input_shape=(*size, 2))
    layer = model.get_layer("stage2_block1_conv1")
    kernel = np.zeros(layer.kernel.shape, "float32")
    kernel[1, 1, 0, 0] = 1
    layer.kernel.assign(kernel)
    before, after = features(model, "stage1", "stage2_block1_conv1")(random_array(1, *size, 2))
    np.testing.assert_allclose(
        ops.convert_to_numpy(after)[..., 0],
        ops.convert_to_numpy(before)[:, ::2, ::2, 0],
        atol=1e-6,
    )


def test_block_against_numpy():
    """y = relu(bn(conv(relu(bn(conv(x))))) + x), at inference with the initial statistics."""
    model = ResNet(depth=8, filters=2, input_shape=(8, 9, 3))
    outputs = features(model, "stem", "stage1")(random_array(1, 8, 9, 3))
    x, y = (ops.convert_to_numpy(output)[0].astype("float64") for output in outputs)

    def conv_bn(maps, name):
        kernel = ops.convert_to_numpy(model.get_layer(name).kernel)
        padded = np.pad(maps, ((1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
        return np.einsum("hwcij,ijco->hwo", windows, kernel) / np.sqrt(1 + 1e-5)

    branch = np.maximum(conv_bn(x, "stage1_block1_conv1"), 0)
    expected = np.maximum(conv_bn(branch, "stage1_block1_conv2") + x, 0)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_initial_kernels():
    model = ResNet(depth=14, filters=32)
    first = ops.convert_to_numpy(model.get_layer("stage3_block1_conv2").kernel)
    second = ops.convert_to_numpy(model.get_layer("stage3_block2_conv1").kernel)
    std = math.sqrt(2 / (9 * 128))
    assert first.shape == second.shape == (3, 3, 128, 128)
    assert abs(first.std() / std - 1) < 0.02
    assert np.abs(first).max() > 3.5 * std, "a truncated normal ends at 2.27 deviations"
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05
    widening = ops.convert_to_numpy(model.get_layer("stage3_block1_conv1").kernel)
    assert abs(widening.std() / std - 1) < 0.02, "fan_in would give a larger one"
    logits = ops.convert_to_numpy(model.get_layer("logits").kernel)
    bound = 1 / math.sqrt(128)
    assert 0.95 * bound < np.abs(logits).max() <= bound


def test_normalisation_is_that_of_the_torch_lineage():
    model = ResNet(depth=8, filters=2, shortcut="B")
    layers = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(layers) == 1 + 3 * 2 + 2
    assert {(layer.momentum, layer.epsilon) for layer in layers} == {(0.9, 1e-5)}


@pytest.mark.parametrize("depth", [2, 19, 21, 20.0, "20", -4])
def test_wrong_depth(depth):
    with pytest.raises(ValueError, match=r"`depth` must be 6n \+ 2"):
        ResNet(depth=depth)


def test_wrong_shortcut_and_filters():
    with pytest.raises(ValueError, match=r'`shortcut` must be "A" or "B"\. Received: shortcut=.C'):
        ResNet(shortcut="C")
    with pytest.raises(ValueError, match="`filters` must be a positive integer"):
        ResNet(filters=0)


def test_preprocess_input():
    images = np.full((1, 2, 2, 3), 255, "uint8")
    expected = (1 - np.array([0.4914, 0.4822, 0.4465])) / [0.2470, 0.2435, 0.2616]
    np.testing.assert_allclose(preprocess_input(images)[0, 0, 0], expected, rtol=1e-6)
    with pytest.raises(ValueError, match="Give that of your data set"):
        preprocess_input(np.zeros((1, 8, 8, 1)))


def test_plain_models_load_without_kzoo(tmp_path):
    models = {
        "resnet": ResNet(depth=8, filters=2, input_shape=(8, 9, 1)),
        "lenet5": LeNet5(input_shape=(12, 12, 1)),
        "lenet_300_100": LeNet300100(input_shape=(8, 8, 1)),
    }
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
        images = random_array(2, *model.input_shape[1:])
        outputs = ops.convert_to_numpy(model(images))
        np.savez(tmp_path / f"{name}.npz", images=images, outputs=outputs)
    script = """
        import pathlib, sys
        sys.modules["kzoo"] = None
        import keras, numpy as np
        for path in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
            stored = np.load(path.with_suffix(".npz"))
            outputs = keras.saving.load_model(path)(stored["images"])
            outputs = keras.ops.convert_to_numpy(outputs)
            np.testing.assert_allclose(outputs, stored["outputs"], atol=1e-5)
            print(path.stem)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(models)
