"""Constructors of compact image classifiers."""

from kzoo.applications.densenet import (
    DenseNet121,
    DenseNet161,
    DenseNet169,
    DenseNet201,
    DenseNet264,
)
from kzoo.applications.densenet_cifar import DenseNet, DenseNetB, DenseNetBC, DenseNetC
from kzoo.applications.highway_conv_net import HighwayConvNet
from kzoo.applications.highway_net import HighwayNet
from kzoo.applications.lenet5 import LeNet5
from kzoo.applications.lenet_300_100 import LeNet300100
from kzoo.applications.prelu_net import PReLUNet
from kzoo.applications.resnet import ResNet

__all__ = [
    "DenseNet",
    "DenseNet121",
    "DenseNet161",
    "DenseNet169",
    "DenseNet201",
    "DenseNet264",
    "DenseNetB",
    "DenseNetBC",
    "DenseNetC",
    "HighwayConvNet",
    "HighwayNet",
    "LeNet5",
    "LeNet300100",
    "PReLUNet",
    "ResNet",
]
