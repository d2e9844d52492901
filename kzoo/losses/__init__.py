"""Distillation losses."""

from kzoo.losses._base import DistillationLoss
from kzoo.losses.activation_boundary import ActivationBoundary, activation_boundary
from kzoo.losses.attention_transfer import AttentionTransfer, attention_transfer
from kzoo.losses.boundary_support import BoundarySupport, boundary_support
from kzoo.losses.contrastive_representation import (
    ContrastiveRepresentation,
    contrastive_representation,
)
from kzoo.losses.correlation_congruence import CorrelationCongruence, correlation_congruence
from kzoo.losses.decoupled_knowledge import DecoupledKnowledge, decoupled_knowledge
from kzoo.losses.factor_transfer import FactorTransfer, factor_transfer
from kzoo.losses.flow_of_solution import FlowOfSolution, flow_of_solution
from kzoo.losses.hint import Hint, hint
from kzoo.losses.neuron_selectivity import NeuronSelectivity, neuron_selectivity
from kzoo.losses.overhaul_feature import OverhaulFeature, overhaul_feature
from kzoo.losses.probabilistic_transfer import ProbabilisticTransfer, probabilistic_transfer
from kzoo.losses.relational_angle import RelationalAngle, relational_angle
from kzoo.losses.relational_distance import RelationalDistance, relational_distance
from kzoo.losses.similarity_preserving import SimilarityPreserving, similarity_preserving
from kzoo.losses.soft_targets import SoftTargets, soft_targets
from kzoo.losses.temperature_curves import temperature_curves
from kzoo.losses.variational_information import VariationalInformation, variational_information

__all__ = [
    "ActivationBoundary",
    "AttentionTransfer",
    "BoundarySupport",
    "ContrastiveRepresentation",
    "CorrelationCongruence",
    "DecoupledKnowledge",
    "DistillationLoss",
    "FactorTransfer",
    "FlowOfSolution",
    "Hint",
    "NeuronSelectivity",
    "OverhaulFeature",
    "ProbabilisticTransfer",
    "RelationalAngle",
    "RelationalDistance",
    "SimilarityPreserving",
    "SoftTargets",
    "VariationalInformation",
    "activation_boundary",
    "attention_transfer",
    "boundary_support",
    "contrastive_representation",
    "correlation_congruence",
    "decoupled_knowledge",
    "factor_transfer",
    "flow_of_solution",
    "hint",
    "neuron_selectivity",
    "overhaul_feature",
    "probabilistic_transfer",
    "relational_angle",
    "relational_distance",
    "similarity_preserving",
    "soft_targets",
    "temperature_curves",
    "variational_information",
]
