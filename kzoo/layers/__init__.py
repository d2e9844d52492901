"""Keras layers: activations, gates, dense blocks and regularisers."""
