import inspect
import re

import numpy as np
import pytest

from kzoo import data

from ._files import small_raw

GROUPS = ((0, 3), (1, 2, 3))
LABELS = np.repeat([0, 1, 2, 3, 4], [7, 12, 31, 8, 20])[np.random.default_rng(1).permutation(78)]


def _blocks(batch_size, labels=LABELS, seed=0, groups=GROUPS):
    """`[step, image of the block, specialist]`."""
    sampler = data.SpecialistBlocks(groups, batch_size)
    order = sampler.order(labels, batch_size, np.random.default_rng(seed))
    return order.reshape(-1, batch_size // len(groups), len(groups))


@pytest.mark.parametrize("batch_size", [4, 8, 20])
def test_a_block_is_one_half_of_its_group_and_no_image_comes_twice(batch_size):
    blocks = _blocks(batch_size)
    assert len(blocks) == -(-len(LABELS) // batch_size)
    for number, group in enumerate(GROUPS):
        inside = np.isin(LABELS[blocks[:, :, number]], group)
        assert inside[:, ::2].all()
        assert not inside[:, 1::2].any()
        for block in blocks[:, :, number]:
            assert len(set(block)) == len(block)


def test_any_part_of_two_for_each_specialist_is_made_alike():
    """So the replicas of a distribution strategy, which get a part of the batch each, work."""
    sampler = data.SpecialistBlocks(GROUPS, 16)
    order = sampler.order(LABELS, 16, np.random.default_rng(0))
    for part in order.reshape(-1, 4):
        for number, group in enumerate(GROUPS):
            assert np.isin(LABELS[part[number::2]], group).tolist() == [True, False]


def test_images_of_each_half_come_equally_often():
    blocks = _blocks(12)
    for number, group in enumerate(GROUPS):
        inside = np.isin(LABELS, group)
        for half, pool in ((0, inside), (1, ~inside)):
            seen = np.bincount(blocks[:, half::2, number].reshape(-1), minlength=len(LABELS))
            assert not seen[~pool].any()
            assert seen[pool].max() - seen[pool].min() <= 1


def test_within_each_half_classes_come_as_often_as_they_are():
    """What the correction of the dustbin class relies on."""
    counts = np.zeros((2, 5))
    for seed in range(300):
        block = _blocks(8, seed=seed)[:, :, 0]
        for half in (0, 1):
            counts[half] += np.bincount(LABELS[block[:, half::2]].reshape(-1), minlength=5)
    natural = np.bincount(LABELS).astype(float)
    for half, classes in ((0, [0, 3]), (1, [1, 2, 4])):
        expected = np.zeros(5)
        expected[classes] = natural[classes] / natural[classes].sum() * counts[half].sum()
        np.testing.assert_allclose(counts[half], expected, atol=5 * expected.max() ** 0.5)
        assert not counts[half][expected == 0].any()


def test_steps_and_epochs_of_a_data_set():
    dataset = data.Dataset("noise", small_raw(), validation_fraction=0.1)  # 54 images
    sampler = data.SpecialistBlocks([(0, 1), (1, 2)], 12)
    sequence = dataset.sequence("train", 12, sampler=sampler, sample_index=True, seed=3)
    assert len(sequence) == dataset.steps("train", 12, sampler=sampler) == 5
    first, second = ([x["sample_index"] for x, _ in sequence] for _ in range(2))
    assert [len(numbers) for numbers in first] == [12] * 5
    assert not np.array_equal(first, second)
    resumed = dataset.sequence(
        "train", 12, sampler=sampler, sample_index=True, seed=3, first_epoch=1
    )
    np.testing.assert_array_equal([x["sample_index"] for x, _ in resumed], second)
    other = dataset.sequence("train", 12, sampler=sampler, sample_index=True, seed=4)
    assert not np.array_equal([x["sample_index"] for x, _ in other], first)


def test_the_same_arguments_make_the_same_sampler():
    sampler = data.SpecialistBlocks([[0, 3], np.array([1, 2])], 8)
    assert sampler == data.SpecialistBlocks(((0, 3), (1, 2)), 8) == eval(repr(sampler), vars(data))
    assert hash(sampler) == hash(eval(repr(sampler), vars(data)))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([], "`groups` must be a list of groups"),
        (3, "`groups` must be a list of groups"),
        ([3, 4], "`groups` must be a list of groups"),
        ([("cat", "dog")], "`groups` must be a list of groups"),
        ([(0, 1), (2,)], r"two or more different classes.*Received: \(2,\)"),
        ([(1, 1)], r"two or more different classes.*Received: \(1, 1\)"),
        ([(-1, 1)], r"integers >= 0.*Received: \(-1, 1\)"),
    ],
)
def test_wrong_groups(groups, message):
    with pytest.raises(ValueError, match=message):
        data.SpecialistBlocks(groups, 4)


@pytest.mark.parametrize("batch_size", [2, 6, 10])
def test_a_batch_that_does_not_divide(batch_size):
    with pytest.raises(ValueError, match=f"must be a multiple of 4.*batch_size={batch_size}"):
        data.SpecialistBlocks(GROUPS, batch_size)
    with pytest.raises(ValueError, match="`batch_size` must be an integer"):
        data.SpecialistBlocks(GROUPS, 0)


@pytest.mark.parametrize(
    ("groups", "batch_size", "asked", "message"),
    [
        (((0, 1),), 8, 16, r"must be 8, that of SpecialistBlocks\(.*batch_size=16"),
        (((0, 4),), 8, 8, r"names class 4, of which the split has no image.*\(0, 4\)"),
        (((0, 1),), 56, 56, r"at most 52: .* the 26 images of the group \(0, 1\) or the 28 others"),
        (((0, 1, 2),), 32, 32, r"at most 28: .* the 40 images of the .* or the 14 others"),
    ],
)
def test_sampler_that_does_not_fit_the_split(groups, batch_size, asked, message):
    dataset = data.Dataset("noise", small_raw(), validation_fraction=0.1)
    with pytest.raises(ValueError, match=message):
        dataset.sequence("train", asked, sampler=data.SpecialistBlocks(groups, batch_size))


def test_the_example_prints_what_it_says(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(data.SpecialistBlocks), re.S)
    exec(compile(code, "example", "exec"), {"__name__": "example"})
    (promised,) = re.findall(r"# (.*)$", code, re.M)
    assert capsys.readouterr().out.strip() == promised
