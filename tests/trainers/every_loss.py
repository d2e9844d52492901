"""One of every distillation loss, with taps for a pair of models."""

from kzoo import losses

SAMPLES = 16
ATTACKS = "BoundarySupport"


def every_loss(teacher, student, pooled=("pooled", "pooled"), margins=None, connect=False):
    """Name -> function that makes the loss.

    Args:
        teacher: the teacher's maps to read, from the shallowest to the deepest, two at least.
        student: the student's, as many; none smaller than the teacher's at the last place.
        pooled: the taps of the vectors of both.
        margins: of `OverhaulFeature`; `None` reads them from the teacher.
        connect: whether the channels differ, so that matrices need connectors.
    """
    last = {"teacher_tap": teacher[-1], "student_tap": student[-1]}
    maps = {"teacher_tap": list(teacher), "student_tap": list(student)}
    vectors = {"teacher_tap": pooled[0], "student_tap": pooled[1]}
    flow = {**maps, "projector": "connector" if connect else None}
    return {
        "SoftTargets": lambda: losses.SoftTargets(),
        "DecoupledKnowledge": lambda: losses.DecoupledKnowledge(),
        "Hint": lambda: losses.Hint(**last),
        "AttentionTransfer": lambda: losses.AttentionTransfer(**maps),
        "NeuronSelectivity": lambda: losses.NeuronSelectivity(**last),
        "SimilarityPreserving": lambda: losses.SimilarityPreserving(**last, weight=1.0),
        "VariationalInformation": lambda: losses.VariationalInformation(**last),
        "OverhaulFeature": lambda: losses.OverhaulFeature(**maps, margins=margins),
        "ActivationBoundary": lambda: losses.ActivationBoundary(**maps),
        "FlowOfSolution": lambda: losses.FlowOfSolution(**flow, weight=1e-3),
        "FactorTransfer": lambda: losses.FactorTransfer(**last, weight=1.0),
        "ProbabilisticTransfer": lambda: losses.ProbabilisticTransfer(**vectors),
        "RelationalDistance": lambda: losses.RelationalDistance(**vectors),
        "RelationalAngle": lambda: losses.RelationalAngle(**vectors),
        "CorrelationCongruence": lambda: losses.CorrelationCongruence(**vectors),
        "ContrastiveRepresentation": lambda: losses.ContrastiveRepresentation(
            SAMPLES, **vectors, embedding_size=8, seed=0
        ),
        ATTACKS: lambda: losses.BoundarySupport(num_samples=4, steps=2, seed=0),
    }
