"""Images and expected outputs of the recorded weights."""
