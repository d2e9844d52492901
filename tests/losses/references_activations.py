"""References of the losses on attention, neurons, similarities and flows, sample by sample."""

import itertools

import numpy as np


def pooled(maps, height, width, reduce=np.mean):
    """Adaptive pooling of one sample's `(height, width, channels)`, bin by bin."""
    given_height, given_width, channels = maps.shape
    result = np.zeros((height, width, channels))
    for i, j in itertools.product(range(height), range(width)):
        top, bottom = i * given_height // height, -(-(i + 1) * given_height // height)
        left, right = j * given_width // width, -(-(j + 1) * given_width // width)
        result[i, j] = reduce(maps[top:bottom, left:right], axis=(0, 1))
    return result


def at_smaller(first, second, reduce=np.mean):
    """Two samples' maps at the smaller height and width."""
    height = min(first.shape[0], second.shape[0])
    width = min(first.shape[1], second.shape[1])
    return pooled(first, height, width, reduce), pooled(second, height, width, reduce)


def attention_transfer(teacher, student, power=2.0, variant="paper"):
    """Half the norm, or the mean of the squares, of the difference of unit attention maps."""
    if not isinstance(teacher, list):
        teacher, student = [teacher], [student]
    values = np.zeros(len(teacher[0]))
    for teachers, students in zip(teacher, student, strict=True):
        for index, sides in enumerate(zip(teachers, students, strict=True)):
            units = []
            for maps in at_smaller(*sides):
                attention = (np.abs(maps) ** power).sum(-1)
                units.append(attention / np.sqrt((attention**2).sum()))
            difference = units[1] - units[0]
            if variant == "paper":
                values[index] += np.sqrt((difference**2).sum()) / 2
            else:
                values[index] += (difference**2).mean()
    return values


def neuron_selectivity(teacher, student, constant=0.0, variant="paper"):
    """The kernels of all pairs of neurons, one by one."""
    epsilon = 0.0 if variant == "paper" else 1e-10
    values = []
    for sides in zip(teacher, student, strict=True):
        neurons = []
        for maps in at_smaller(*sides):
            rows = [maps[..., channel].ravel() for channel in range(maps.shape[-1])]
            neurons.append([row / np.sqrt(row @ row + epsilon) for row in rows])

        def mean_kernel(first, second):
            return np.mean([(a @ b + constant) ** 2 for a in first for b in second])

        of_teacher, of_student = neurons
        value = mean_kernel(of_student, of_student) - 2 * mean_kernel(of_student, of_teacher)
        values.append(value + (mean_kernel(of_teacher, of_teacher) if variant == "paper" else 0.0))
    return np.array(values)


def probabilistic_transfer(teacher, student, variant="paper"):
    """The divergence of the conditional probabilities, pair by pair."""
    paper, batch = variant == "paper", len(teacher)
    epsilon = 0.0 if paper else 1e-7

    def probabilities(features):
        rows = [x.ravel() / (np.sqrt(np.sum(x**2)) + epsilon) for x in features]
        kernel = np.array([[(a @ b + 1) / 2 for b in rows] for a in rows])
        if paper:
            kernel -= np.diag(np.diag(kernel))
        return kernel / kernel.sum(1, keepdims=True)

    p, q = probabilities(teacher), probabilities(student)
    total = 0.0
    for i, j in itertools.product(range(batch), repeat=2):
        if i != j or not paper:
            total += p[i, j] * np.log((p[i, j] + epsilon) / (q[i, j] + epsilon))
    return np.array(total if paper else total / batch**2)


def similarity_preserving(teacher, student):
    """The squared differences of the normalised rows of inner products."""

    def similarities(features):
        rows = [x.ravel() for x in features]
        products = [np.array([a @ b for b in rows]) for a in rows]
        return [row / np.sqrt(row @ row) for row in products]

    pairs = zip(similarities(teacher), similarities(student), strict=True)
    return np.array(sum(((t - s) ** 2).sum() for t, s in pairs) / len(teacher) ** 2)


def flow_of_solution(teacher, student, variant="paper"):
    """The squared differences of the flow matrices, entry by entry."""
    reduce = np.max if variant == "paper" else np.mean

    def flow(lower, upper):
        lower, upper = at_smaller(lower, upper, reduce)
        matrix = np.zeros((lower.shape[-1], upper.shape[-1]))
        for i, j in itertools.product(*map(range, matrix.shape)):
            matrix[i, j] = (lower[..., i] * upper[..., j]).mean()
        return matrix

    values = np.zeros(len(teacher[0]))
    for index, step in itertools.product(range(len(values)), range(len(teacher) - 1)):
        of_teacher = flow(teacher[step][index], teacher[step + 1][index])
        of_student = flow(student[step][index], student[step + 1][index])
        squares = (of_student - of_teacher) ** 2
        values[index] += squares.sum() if variant == "paper" else squares.mean()
    return values


VARIANTS = [{"variant": "paper"}, {"variant": "reference"}]
REFERENCES = {
    "AttentionTransfer": attention_transfer,
    "NeuronSelectivity": neuron_selectivity,
    "ProbabilisticTransfer": probabilistic_transfer,
    "SimilarityPreserving": similarity_preserving,
    "FlowOfSolution": flow_of_solution,
}
SETTINGS = {
    "AttentionTransfer": [*VARIANTS, {"power": 4.0}],
    "NeuronSelectivity": [*VARIANTS, *({"constant": 1.0, **variant} for variant in VARIANTS)],
    "ProbabilisticTransfer": VARIANTS,
    "SimilarityPreserving": [{}],
    "FlowOfSolution": VARIANTS,
}
