"""The networks of factor transfer: a paraphraser of the teacher, a translator of the student."""

import keras


class Convolutions(keras.layers.Layer):
    """3 x 3 convolutions, each followed by a leaky ReLU of slope 0.1.

    Args:
        filters: the channels of each.
        transposed: whether they are transposed convolutions.
        normalize: whether batch normalisation stands before each activation.
    """

    def __init__(self, filters, transposed=False, normalize=False, **kwargs):
        super().__init__(**kwargs)
        kind = keras.layers.Conv2DTranspose if transposed else keras.layers.Conv2D
        same = {"dtype": self.dtype_policy}
        self.convolutions = [
            kind(count, 3, padding="same", name=f"convolution_{index}", **same)
            for index, count in enumerate(filters)
        ]
        self.normalizations = [
            keras.layers.BatchNormalization(
                momentum=0.9, epsilon=1e-5, name=f"normalization_{index}", **same
            )
            for index in range(len(filters) if normalize else 0)
        ]

    def build(self, input_shape):
        """Create the weights of each layer."""
        shape = tuple(input_shape)
        for index, convolution in enumerate(self.convolutions):
            convolution.build(shape)
            shape = (*shape[:-1], convolution.filters)
            if self.normalizations:
                self.normalizations[index].build(shape)

    def call(self, maps, training=None):
        """The maps after all convolutions."""
        for index, convolution in enumerate(self.convolutions):
            maps = convolution(maps)
            if self.normalizations:
                maps = self.normalizations[index](maps, training=training)
            maps = keras.ops.leaky_relu(maps, negative_slope=0.1)
        return maps

    def compute_output_shape(self, input_shape):
        """The same sizes, the last convolution's channels."""
        return (*input_shape[:-1], self.convolutions[-1].filters)


class Paraphraser(keras.layers.Layer):
    """An autoencoder of the teacher's map; its code is the teacher's factor.

    Args:
        channels: of the teacher's map.
        factor_channels: of the factor.
    """

    def __init__(self, channels, factor_channels, **kwargs):
        super().__init__(**kwargs)
        same = {"dtype": self.dtype_policy}
        down = [channels, factor_channels, factor_channels]
        up = [factor_channels, channels, channels]
        self.encoder = Convolutions(down, name="encoder", **same)
        self.decoder = Convolutions(up, transposed=True, name="decoder", **same)

    def build(self, input_shape):
        """Create the weights of both halves."""
        self.encoder.build(input_shape)
        self.decoder.build(self.encoder.compute_output_shape(input_shape))

    def call(self, maps, training=None):
        """The reconstructed maps."""
        return self.decoder(self.encoder(maps, training=training), training=training)

    def compute_output_shape(self, input_shape):
        """The shape of the maps."""
        return tuple(input_shape)
