"""What an export gave."""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What `export_model` wrote and how near it is to the model. `str(report)` is one line.

    Attributes:
        format: `"saved_model"`, `"litert"` or `"onnx"`.
        path: the file or folder.
        bytes: its size.
        seconds: time for conversion and verification.
        samples: number of images it was verified on.
        max_error: largest difference to the model's outputs, relative to the
            largest output where that is above 1.
        mean_error: mean of the same.
        agreement: share of images with the same class first (`quantize` only).
        quantize: `None` or `"int8"`.
        note: what else is to be known, for example a change of precision.
    """

    format: str
    path: pathlib.Path
    bytes: int
    seconds: float
    samples: int
    max_error: float
    mean_error: float
    agreement: float | None = None
    quantize: str | None = None
    note: str = ""

    def __str__(self):
        kind = f"{self.format} ({self.quantize})" if self.quantize else self.format
        found = f"largest difference {self.max_error:.2g}"
        if self.agreement is not None:
            found = (
                f"same class {self.agreement:.1%}, mean difference {self.mean_error:.2g}, {found}"
            )
        line = (
            f"{kind}: {self.path}, {self.bytes:,} bytes, verified on {self.samples} images: "
            f"{found} ({self.seconds:.1f} s)"
        )
        return f"{line}. {self.note}" if self.note else line
