import hashlib
import http.server
import importlib.resources
import json
import os
import socket
import threading

import h5py
import keras
import numpy as np
import pytest

from kzoo import pretrained
from kzoo.pretrained import _manifest
from tests.examples import run_example
from tests.helpers import random_array

IMAGES = random_array(4, 6, 6, 1)
FACTS = {
    "application": "Tiny",
    "args": {"classes": 3, "input_shape": (6, 6, 1)},
    "dataset": "squares",
    "classes": 3,
    "class_names": ["a", "b", "c"],
    "metrics": {"test_accuracy": np.float32(0.5)},
    "recipe": "applications/tiny/recipe.toml",
    "images": IMAGES,
}


def tiny(classes=3, filters=4, include_top=True):
    layers = [
        keras.Input((6, 6, 1), name="image"),
        keras.layers.Conv2D(filters, 3, name="convolution"),
        keras.layers.BatchNormalization(name="normalization"),
        keras.layers.GlobalAveragePooling2D(name="pooled"),
    ]
    if include_top:
        layers += [keras.layers.Dense(classes, name="logits")]
        layers += [keras.layers.Activation("softmax", name="predictions")]
    return keras.Sequential(layers, name="tiny")


def values(model):
    return [keras.ops.convert_to_numpy(v) for v in model.variables]


def assert_unchanged(model, before):
    for a, b in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def zoo(tmp_path):
    """A folder with one record, and the model it was made of."""
    model = tiny()
    record = pretrained.add(model, "tiny-run", folder=tmp_path, **FACTS)
    return tmp_path, record, model


def test_the_packages_folder_has_a_manifest_and_all_its_files():
    assert (pretrained.folder() / "manifest.json").is_file()
    for name, record in pretrained.available().items():
        assert pretrained.path(name).name == record.file
        assert (pretrained.folder() / "probes" / f"{name}.npz").is_file()


def test_the_folder_is_the_data_package_or_that_of_the_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.resources, "files", lambda name: tmp_path / name)
    assert pretrained.folder() == tmp_path / "kzoo.weights"

    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib.resources, "files", missing)
    assert (pretrained.folder() / "manifest.json").is_file()
    monkeypatch.setattr(_manifest, "__file__", str(tmp_path / "kzoo" / "pretrained" / "x.py"))
    with pytest.raises(ValueError, match=r"neither a package `kzoo.weights` nor .* Install kzoo"):
        pretrained.folder()


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_example(pretrained.load_weights)


def test_a_record_has_what_was_given(zoo):
    folder, record, _ = zoo
    assert list(pretrained.available(folder=folder)) == ["tiny-run"]
    assert pretrained.record("tiny-run", folder=folder) == record
    assert record.parameters == 4 * 10 + 2 * 4 + 5 * 3
    assert record.args == {"classes": 3, "input_shape": [6, 6, 1]}
    assert record.class_names == ("a", "b", "c")
    assert record.metrics == {"test_accuracy": 0.5}
    file = pretrained.path("tiny-run", folder=folder)
    assert file.name == f"tiny-run-{record.sha256[:8]}.weights.h5"
    assert {p.name for p in folder.iterdir()} == {"manifest.json", "probes", file.name}


def test_add_twice_changes_nothing_and_new_weights_replace_the_old(zoo):
    folder, record, model = zoo
    stamps = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    assert pretrained.add(model, "tiny-run", folder=folder, **FACTS) == record
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()} == stamps
    model.layers[0].bias.assign([1.0, 2.0, 3.0, 4.0])
    new = pretrained.add(model, "tiny-run", folder=folder, **FACTS)
    assert new.sha256 != record.sha256
    assert [p.name for p in folder.glob("*.h5")] == [new.file]
    assert pretrained.verify("tiny-run", model, folder=folder) == 0.0


def test_the_state_of_the_optimizer_is_not_recorded(zoo):
    folder, record, model = zoo
    plain = (folder / record.file).stat().st_size
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    trained = pretrained.add(model, "trained", folder=folder, **FACTS)
    with h5py.File(folder / trained.file) as file:
        assert "optimizer" not in file
    assert (folder / trained.file).stat().st_size <= 1.5 * plain
    fresh = tiny()
    pretrained.load_weights(fresh, "trained", folder=folder, probe=True)


def test_load_by_name_and_by_path(zoo):
    folder, record, model = zoo
    for source in ("tiny-run", folder / record.file, str(folder / record.file)):
        fresh = tiny()
        pretrained.load_weights(fresh, source, folder=folder)
        assert_unchanged(fresh, values(model))
        assert pretrained.verify("tiny-run", fresh, folder=folder) < 1e-6


def test_a_compiled_model_keeps_its_optimizer(zoo):
    folder, _, _ = zoo
    fresh = tiny()
    fresh.compile("adam", "mse")
    fresh.optimizer.build(fresh.trainable_variables)
    fresh.optimizer.iterations.assign(7)
    pretrained.load_weights(fresh, "tiny-run", folder=folder, probe=True)
    assert int(fresh.optimizer.iterations) == 7


def test_a_model_without_top_takes_its_part(zoo):
    folder, _, model = zoo
    headless = tiny(include_top=False)
    pretrained.load_weights(headless, "tiny-run", folder=folder)
    assert_unchanged(headless, values(model)[:6])


def test_unknown_names_offer_the_nearest(zoo):
    folder, _, _ = zoo
    with pytest.raises(ValueError, match=r"'tiny-rum'. Did you mean 'tiny-run'\?"):
        pretrained.record("tiny-rum", folder=folder)
    with pytest.raises(ValueError, match=r"'tiny-rum'. Did you mean 'tiny-run'\?"):
        pretrained.load_weights(tiny(), "tiny-rum", folder=folder)
    with pytest.raises(ValueError, match=r"no file called 'no/such.weights.h5'. Give the path"):
        pretrained.load_weights(tiny(), "no/such.weights.h5", folder=folder)


@pytest.mark.parametrize("damage", ["truncated", "one bit", "no file"])
def test_a_damaged_recorded_file_is_named_with_both_checksums(zoo, damage):
    folder, record, _ = zoo
    file = folder / record.file
    content = bytearray(file.read_bytes())
    if damage == "no file":
        file.unlink()
        expected = f"missing: .*{record.file}"
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes(content[:-100] if damage == "truncated" else content)
        expected = (
            f"{record.file} is damaged: its sha256 is [0-9a-f]{{64}}, expected {record.sha256}"
        )
    model = tiny()
    before = values(model)
    with pytest.raises(ValueError, match=expected) as caught:
        pretrained.load_weights(model, "tiny-run", folder=folder)
    assert "\n" not in str(caught.value)
    assert_unchanged(model, before)


def test_a_copy_of_a_recorded_file_is_verified_too(zoo, tmp_path):
    folder, record, _ = zoo
    copy = tmp_path / "elsewhere" / record.file
    copy.parent.mkdir()
    copy.write_bytes((folder / record.file).read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"expected {record.sha256}"):
        pretrained.load_weights(tiny(), copy, folder=folder)


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.95])
def test_a_truncated_file_of_ones_own_gives_one_line(tmp_path, keep):
    file = tmp_path / "own.weights.h5"
    model = tiny()
    model.save_weights(file)
    content = file.read_bytes()
    file.write_bytes(content[: int(keep if isinstance(keep, int) else keep * len(content))])
    before = values(model)
    with pytest.raises(
        ValueError, match=r"own.weights.h5 is damaged.*sha256 is [0-9a-f]{64}"
    ) as error:
        pretrained.load_weights(model, file)
    assert "\n" not in str(error.value)
    assert_unchanged(model, before)


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (lambda: tiny(classes=5), r"layer 'logits'.*needs shape \(4, 5\), the file has \(4, 3\)"),
        (
            lambda: tiny(filters=8),
            r"layer 'normalization'.*needs shape \(8,\), the file has \(4,\)",
        ),
        (
            lambda: keras.Sequential(
                [tiny(include_top=False), keras.layers.Dense(3, name="logits")], name="nested"
            ),
            "has no array for layer",
        ),
        (
            lambda: keras.Sequential(
                [
                    keras.Input((6, 6, 1)),
                    keras.layers.Conv2D(4, 3, name="convolution"),
                    keras.layers.GlobalAveragePooling2D(name="pooled"),
                    keras.layers.Dense(3, name="logits"),
                ]
            ),
            "holds 4 arrays more, first that of layer 'normalization'",
        ),
    ],
)
def test_arrays_of_another_model_are_refused_before_anything_is_loaded(zoo, other, text):
    folder, _, _ = zoo
    model = other()
    before = values(model)
    with pytest.raises(ValueError, match=text) as caught:
        pretrained.load_weights(model, "tiny-run", folder=folder)
    assert "'tiny-run' is a Tiny with {'classes': 3" in str(caught.value)
    assert_unchanged(model, before)


def test_a_failure_halfway_gives_the_old_values_back(zoo, monkeypatch):
    folder, _, _ = zoo
    model = tiny()
    before = values(model)

    def half(self, *args, **kwargs):
        self.variables[0].assign(self.variables[0] + 1)
        raise OSError("disk gone")

    monkeypatch.setattr(keras.Model, "load_weights", half)
    with pytest.raises(ValueError, match="disk gone"):
        pretrained.load_weights(model, "tiny-run", folder=folder)
    assert_unchanged(model, before)


def test_a_probe_finds_other_weights_and_the_load_is_undone(zoo):
    folder, _, _ = zoo
    changed = tiny()
    difference = r"outputs of 'tiny-run' differ from the recorded ones by"
    with pytest.raises(ValueError, match=difference):
        pretrained.verify("tiny-run", changed, folder=folder)
    probe = folder / "probes" / "tiny-run.npz"
    np.savez(probe, images=IMAGES, outputs=np.eye(4, 3))
    before = values(changed)
    with pytest.raises(ValueError, match=difference):
        pretrained.load_weights(changed, "tiny-run", folder=folder, probe=True)
    assert_unchanged(changed, before)
    probe.write_bytes(probe.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"probe .*tiny-run.npz cannot be read"):
        pretrained.verify("tiny-run", changed, folder=folder)


def test_a_probe_refuses_models_of_another_shape(zoo):
    folder, _, _ = zoo
    with pytest.raises(ValueError, match=r"expects outputs \(4, 3\). Received: \(4, 5\)"):
        pretrained.verify("tiny-run", tiny(classes=5), folder=folder)
    other = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match=r"images \(6, 6, 1\). Received a model that takes \(5,\)"):
        pretrained.verify("tiny-run", other, folder=folder)


def test_load_weights_says_what_it_cannot_take(tmp_path):
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="is not built"):
        pretrained.load_weights(unbuilt, "anything")
    (tmp_path / "model.h5").touch()
    with pytest.raises(ValueError, match=r"must end in '.weights.h5'. Received: .*model.h5"):
        pretrained.load_weights(tiny(), tmp_path / "model.h5")
    tiny().save_weights(tmp_path / "own.weights.h5")
    with pytest.raises(ValueError, match="`probe=True` needs a recorded name"):
        pretrained.load_weights(tiny(), tmp_path / "own.weights.h5", probe=True)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"class_names": ["a"]}, "one name for each of the 3 classes. Received: 1"),
        ({"classes": 2, "class_names": ["a", "b"]}, "number of outputs of the model, 3"),
        ({"images": IMAGES[:, :5]}, r"images of shape \(6, 6, 1\). Received: .*\(4, 5, 6, 1\)"),
        ({"images": IMAGES[:0]}, "1 to 64 images"),
        ({"images": IMAGES * np.nan}, "gives NaN"),
        ({"args": {"activation": np.ones}}, "what JSON can hold"),
    ],
)
def test_add_refuses_what_does_not_fit(tmp_path, change, text):
    with pytest.raises(ValueError, match=text):
        pretrained.add(tiny(), "tiny-run", folder=tmp_path, **{**FACTS, **change})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="`name` must consist of letters"):
        pretrained.add(tiny(), "../tiny", folder=tmp_path, **FACTS)


def test_a_failed_write_leaves_the_old_record(zoo, monkeypatch):
    folder, record, model = zoo
    model.layers[0].bias.assign([1.0, 2.0, 3.0, 4.0])
    replace = os.replace

    def full(source, target):
        if str(target).endswith("manifest.json"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"Cannot record 'tiny-run' in .*No space left"):
        pretrained.add(model, "tiny-run", folder=folder, **FACTS)
    assert pretrained.record("tiny-run", folder=folder) == record
    pretrained.path("tiny-run", folder=folder)
    assert not [p.name for p in folder.rglob(".*")]


@pytest.mark.parametrize("content", ["{", '{"version": 2, "weights": {}}', '{"version": 1}'])
def test_a_damaged_manifest_is_named(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest.json cannot be read as a manifest"):
        pretrained.available(folder=tmp_path)


def test_a_folder_without_manifest_has_no_records(tmp_path):
    assert pretrained.available(folder=tmp_path) == {}


def test_the_recorded_manifest_is_written_as_add_writes_it():
    content = json.loads((pretrained.folder() / "manifest.json").read_text())
    assert content["version"] == 1
    assert list(content["weights"]) == sorted(content["weights"])


CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        end = len(CONTENT) if self.path.startswith("/whole") else 1000
        self.wfile.write(CONTENT[:end])
        if self.path.startswith("/stall"):
            self.wfile.flush()
            self.server.released.wait(20)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    running.released = threading.Event()
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.released.set()
    running.shutdown()
    running.server_close()


def files_below(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_download_verifies_caches_and_needs_no_server_the_second_time(server, tmp_path):
    target = tmp_path / "models" / "whole.h5"
    assert pretrained.download(f"{server}/whole.h5", sha256=SHA256, md5=MD5) == target
    assert target.read_bytes() == CONTENT
    assert pretrained.download("http://nowhere.invalid/whole.h5", sha256=SHA256) == target
    other = pretrained.download(f"{server}/whole.h5", cache_subdir="other", file_name="x.bin")
    assert other == tmp_path / "other" / "x.bin"
    assert files_below(tmp_path) == ["whole.h5", "x.bin"]


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_download_refuses_other_content(server, tmp_path, algorithm):
    wrong = "0" * 32
    actual = {"sha256": SHA256, "md5": MD5}[algorithm]
    with pytest.raises(ValueError, match=f"its {algorithm} is {actual}, expected {wrong}"):
        pretrained.download(f"{server}/whole.h5", **{algorithm: wrong})
    assert files_below(tmp_path) == []
    (tmp_path / "models" / "whole.h5").write_bytes(b"other")
    with pytest.raises(ValueError, match="Delete it and run this again"):
        pretrained.download(f"{server}/whole.h5", **{algorithm: actual})


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing.h5", "HTTP 404"),
        ("cut.h5", f"received 1000 of {len(CONTENT)} bytes"),
        ("stall.h5", "nothing received for 0.3 seconds|timed out"),
    ],
)
def test_a_failed_download_says_where_to_put_the_file(server, tmp_path, path, reason):
    with pytest.raises(ConnectionError, match=reason) as caught:
        pretrained.download(f"{server}/{path}", timeout=0.3)
    assert f"put the file at {tmp_path / 'models' / path}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files_below(tmp_path) == []


def test_a_host_that_never_resolves_does_not_hang(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    released = threading.Event()

    def hang(*args, **kwargs):
        released.wait(20)
        raise socket.gaierror("never")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(ConnectionError, match=r"nothing received for 0.2 seconds"):
        pretrained.download("http://slow.invalid/file.h5", timeout=0.2)
    released.set()


def test_download_needs_a_name_and_a_folder(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`file_name` is needed"):
        pretrained.download("http://example.invalid/")
    (tmp_path / "file").touch()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"Cannot write into the cache .* KERAS_HOME"):
        pretrained.download("http://example.invalid/a.h5")
