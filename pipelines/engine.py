"""TensorFlow and Keras, imported without their noise."""

import os
import shutil
import sys
import tempfile
from typing import BinaryIO

from seqloom.pipelines.memory import keep_freed_memory

# What TensorFlow, Keras and MLflow read when they are imported; the user's own win.
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "KERAS_BACKEND": "tensorflow",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def set_environment() -> None:
    """Quiet TensorFlow, Keras on TensorFlow, MLflow without telemetry; memory is kept.

    To be called before any of them is imported.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    keep_freed_memory()


def import_engine() -> None:
    """Import TensorFlow and Keras; their notes to file 2 while they load are held back.

    The notes come before TensorFlow's own log level counts: on a computer without a
    GPU, half a screen about CUDA. They are shown when the import fails, when there is
    an NVIDIA driver, and with TF_CPP_MIN_LOG_LEVEL=0.
    """
    set_environment()
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0" or shutil.which("nvidia-smi"):
        _import()
        return
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            _import()
        except Exception:
            _copy(held, shown)
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)


def _import() -> None:
    import keras  # noqa: F401, loaded while notes are held back
    import tensorflow as tf

    tf.config.list_physical_devices()  # looks for GPUs, and says what it misses


def _copy(held: BinaryIO, target: int) -> None:
    held.seek(0)
    os.write(target, held.read())
