"""Export a Keras model as SavedModel, LiteRT or ONNX; what is written is verified first."""

from kzoo.export._export_model import export_model
from kzoo.export._fresh_process import check_in_fresh_process
from kzoo.export._report import ExportReport

__all__ = ["ExportReport", "check_in_fresh_process", "export_model"]
