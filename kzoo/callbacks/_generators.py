"""Random state outside Keras' variables: torch draws the noise of an unseeded Dropout itself."""

import keras
import numpy as np


def read():
    """The state of the backend's own generators, as arrays by name."""
    if keras.backend.backend() != "torch":
        return {}
    import torch

    state = {"generator_cpu": torch.get_rng_state().numpy()}
    for i, device in enumerate(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ()):
        state[f"generator_cuda_{i}"] = device.numpy()
    return state


def write(state):
    """Bring back what `read` gave; generators of devices that are missing here are left out."""
    if keras.backend.backend() != "torch":
        return
    import torch

    for name, array in state.items():
        tensor = torch.from_numpy(np.array(array))
        if name == "generator_cpu":
            torch.set_rng_state(tensor)
        elif name.startswith("generator_cuda_") and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensor, int(name.rsplit("_", 1)[1]))
