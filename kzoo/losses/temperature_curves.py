"""What a temperature does to logits, in numbers."""

import numpy as np

from kzoo.losses._arguments import check_number


def temperature_curves(logits, temperatures, student=None):
    """How softened probabilities, their entropy and the gradient change with the temperature.

    Use it to choose temperatures to try: where the entropy has come close to that of the uniform
    distribution the teacher says little, and where the error of the approximation is small
    distillation is nothing but matching logits.

    Reference:
        G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", NIPS
        Deep Learning Workshop 2014, arXiv:1503.02531, section 2.1.

    With `p = softmax(z / T)`, t the teacher and s the student, the gradient of the divergence by
    the student's logits, and what it tends to for high temperatures and logits of zero mean over
    the N classes:

        g = (p_s − p_t) / T  ≈  (z_s − z_t) / (N T²)

    The relative error of the right side falls like 1/T: a line of slope −1 where both axes
    are logarithmic.

    Args:
        logits: the teacher's logits, `(..., classes)`.
        temperatures: temperatures to look at, each > 0.
        student: the student's logits, of the same shape; zeros, an untrained student, by default.

    Returns:
        A dict of float64 arrays, the first axis of each being the temperature:
        `temperatures` `(T,)`; `probabilities` `(T, ..., classes)` of the teacher; `entropy`
        `(T, ...)` of these in nats; `gradient_error` `(T,)`, the norm of the difference of
        both sides above over the norm of the left, over all logits.

    Raises:
        ValueError: for no temperature or one that is not > 0, logits that are not finite, fewer
            than two classes, or a student of another shape.

    Example:

    ```python
    import numpy as np
    from kzoo.losses import temperature_curves

    logits = np.array([[6.0, 2.0, -1.0], [0.5, 4.0, 1.0]])
    curves = temperature_curves(logits, [1.0, 4.0, 20.0])
    print(curves["probabilities"].shape, curves["entropy"].mean(axis=-1))
    ```
    """
    temperatures = [check_number("temperature", float(t)) for t in np.ravel(temperatures)]
    if not temperatures:
        raise ValueError("`temperatures` is empty: give at least one, for example [1.0, 4.0, 20.0]")
    teacher = np.asarray(logits, "float64")
    student = np.zeros_like(teacher) if student is None else np.asarray(student, "float64")
    if not teacher.ndim or teacher.shape[-1] < 2 or teacher.shape != student.shape:
        raise ValueError(
            "`logits` must have shape (..., classes) with at least 2 classes, and `student` the "
            f"same. Received: {teacher.shape} and {student.shape}"
        )
    if not (np.all(np.isfinite(teacher)) and np.all(np.isfinite(student))):
        raise ValueError("`logits` and `student` must be finite. Received: NaN or infinity")
    soft = np.stack([_softmax(teacher / t) for t in temperatures])
    hard = np.stack([_softmax(student / t) for t in temperatures])
    logs = np.log(np.maximum(soft, np.finfo("float64").tiny))
    centred = _centred(student) - _centred(teacher)
    return {
        "temperatures": np.array(temperatures),
        "probabilities": soft,
        "entropy": -np.sum(soft * logs, axis=-1),
        "gradient_error": np.array(
            [
                _relative_error((q - p) / t, centred / (teacher.shape[-1] * t**2))
                for t, p, q in zip(temperatures, soft, hard, strict=True)
            ]
        ),
    }


def _softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _centred(logits):
    return logits - logits.mean(axis=-1, keepdims=True)


def _relative_error(exact, approximation):
    size = np.linalg.norm(exact)
    return float(np.linalg.norm(exact - approximation) / size) if size else 0.0
