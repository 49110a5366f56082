"""The weights of the best validation so far, on disk."""

from pathlib import Path

import keras


class BestWeights:
    """One weights file for the best step, renamed to its final place at the end.

    The step is in the file's name, so that a crash between a better validation and
    the checkpoint that knows of it leaves the weights which the checkpoint means.
    """

    def __init__(self, model: keras.Model, final_path: Path):
        self.model = model
        self.final_path = final_path

    def path(self, step: int) -> Path:
        return self.final_path.with_name(f"step-{step:08d}.weights.h5")

    def save(self, step: int) -> None:
        """Write the weights as they are. OSError leaves no half of a file behind."""
        self.final_path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.model.save_weights(self.path(step), overwrite=True)
        except OSError:
            self.path(step).unlink(missing_ok=True)
            raise

    def drop_others(self, steps: set[int]) -> None:
        """Delete the files of all steps but these."""
        kept = {self.path(step) for step in steps}
        for path in self.final_path.parent.glob("step-*.weights.h5"):
            if path not in kept:
                path.unlink()

    def finish(self, step: int) -> None:
        """Load the best weights into the model and give their file its final name."""
        if self.path(step).exists():
            self.path(step).replace(self.final_path)
        self.model.load_weights(self.final_path)
