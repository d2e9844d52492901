"""The names of the columns of a batch that holds more than images."""

INPUTS = "inputs"
"""The images, float32."""

SAMPLE_INDEX = "sample_index"
"""The number of each image, its position in `Dataset.arrays(split)`, int32."""

TEACHER = "teacher"
"""What `attach` returned: a dict of arrays with one row an image."""
