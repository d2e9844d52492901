"""Keras layers: activations, gates, dense blocks and regularisers."""

from kzoo.layers.dense_block import DenseBlock
from kzoo.layers.dense_transition import DenseTransition
from kzoo.layers.drop_block_2d import DropBlock2D
from kzoo.layers.drop_path import DropPath
from kzoo.layers.highway_conv_2d import HighwayConv2D
from kzoo.layers.highway_dense import HighwayDense
from kzoo.layers.multi_sample_dropout import MultiSampleDropout
from kzoo.layers.prelu import PReLU
from kzoo.layers.stochastic_depth import StochasticDepth

__all__ = [
    "DenseBlock",
    "DenseTransition",
    "DropBlock2D",
    "DropPath",
    "HighwayConv2D",
    "HighwayDense",
    "MultiSampleDropout",
    "PReLU",
    "StochasticDepth",
]
