"""What a run says of the device and of its memory."""

import numpy as np
import pytest

from kzoo.recipes import _device

on_linux = pytest.mark.skipif(not _device._CLEAR.exists(), reason="needs /proc")


def test_the_processor_is_named_where_there_is_no_accelerator(monkeypatch):
    monkeypatch.setattr(_device, "_accelerator", lambda: None)
    assert "CPU" in _device.name()
    assert _device.peak_bytes() > 2**20


def test_an_accelerator_is_named_and_asked_for_its_own_memory(monkeypatch):
    monkeypatch.setattr(_device, "_accelerator", lambda: ("some GPU", lambda: 123.0))
    assert _device.name() == "some GPU"
    assert _device.peak_bytes() == 123


@on_linux
def test_a_peak_that_was_before_is_forgotten(monkeypatch):
    monkeypatch.setattr(_device, "_accelerator", lambda: None)
    np.ones(2**26).sum()
    before = _device.peak_bytes()
    _device.forget_peak()
    assert before - _device.peak_bytes() > 2**28
