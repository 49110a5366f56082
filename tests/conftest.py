"""What holds for every test: a quiet TensorFlow, nothing of the user's own setup."""

import gc
import os

import pytest

from seqloom.pipelines.engine import set_environment

# Before any test module imports TensorFlow or MLflow.
set_environment()
for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "TF_CONFIG"):
    os.environ.pop(name, None)
# `make test` must not hand its own variables on to the makes that tests start.
for name in [n for n in os.environ if n.startswith(("MAKE", "MFLAGS", "given_"))]:
    del os.environ[name]


def pytest_configure(config):
    """Two devices on every machine, so that tests can train on two replicas."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # its processes run the tests, and TensorFlow takes long to import
    import tensorflow as tf

    # TensorFlow takes this only before its first use.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )


def pytest_collection_finish(session):
    """What was imported stays: looking through it for garbage is a waste of time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def preset(tmp_path_factory):
    """Folder of a tiny pretrained encoder, in the form of keras_nlp."""
    from tiny_preset import save_tiny_preset  # takes seconds, few tests need it

    return save_tiny_preset(tmp_path_factory.mktemp("preset") / "tiny")
