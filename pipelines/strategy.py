"""Where a run computes: the devices TensorFlow sees and the strategy over them."""

import json
import os
from collections.abc import Callable

import tensorflow as tf

from seqloom.pipelines.errors import UserError


def build_strategy(
    name: str, logical_devices: int | None = None
) -> tf.distribute.Strategy:
    """Make the tf.distribute strategy that `training.strategy` names.

    Args:
        name: `one_device`, `mirrored` (all GPUs of this machine, or the logical CPU
            devices), `multi_worker` (the machines of TF_CONFIG), or `auto`: several
            machines if TF_CONFIG is set, mirrored if there are several GPUs.
        logical_devices: Split the CPU into so many devices, to try out a strategy
            where there is no GPU. Must come before TensorFlow touches a device.
    """
    if logical_devices:
        _split_cpu(logical_devices)
    # First of all: workers cannot meet once TensorFlow has started its devices.
    if name == "multi_worker" or (name == "auto" and "TF_CONFIG" in os.environ):
        return _join_cluster()
    devices = tf.config.list_logical_devices("GPU")
    several = len(devices) > 1 or (logical_devices or 1) > 1
    devices = devices or tf.config.list_logical_devices("CPU")
    if name == "mirrored" or (name == "auto" and several):
        names = [device.name for device in devices]
        return mirrored_strategy(names, on_gpus=devices[0].device_type == "GPU")
    return tf.distribute.OneDeviceStrategy(devices[0].name)


def mirrored_strategy(
    devices: list[str], on_gpus: bool = False
) -> tf.distribute.Strategy:
    """A MirroredStrategy that can be made again and again in one process.

    TensorFlow's collective operations, its default, number the tensors of every
    strategy alike and fail when a second model has others. On CPUs, where they are
    no faster, gradients are therefore added up on one device; GPUs keep the default.
    """
    add_up = None if on_gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=add_up)


def grow_gpu_memory() -> None:
    """Let TensorFlow take GPU memory as it needs it, not all at the start."""
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)


def describe(strategy: tf.distribute.Strategy) -> str:
    """One line for people: the strategy and its devices."""
    kind = type(strategy).__name__.removesuffix("Strategy").removesuffix("V1")
    devices = ", ".join(
        device.split("device:")[-1] for device in strategy.extended.worker_devices
    )
    replicas = strategy.num_replicas_in_sync
    return f"{kind}: {replicas} replica{'s' * (replicas > 1)} on {devices}"


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run directory and talks to the tracker."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    workers_lead = "chief" not in resolver.cluster_spec().as_dict()
    leader = "worker" if workers_lead else "chief"
    return resolver.task_type == leader and resolver.task_id == 0


def any_worker(strategy: tf.distribute.Strategy) -> Callable[[bool], bool]:
    """A function that tells every worker whether any of them said yes."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return bool

    @tf.function
    def count(mine):
        def add():  # the copy lies on a device, which the reduction asks for
            replica = tf.distribute.get_replica_context()
            return replica.all_reduce("SUM", tf.identity(mine))

        return strategy.run(add)

    def ask(mine: bool) -> bool:
        total = count(tf.constant(float(mine)))
        return float(strategy.experimental_local_results(total)[0]) > 0

    return ask


def _split_cpu(number: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * number
    try:
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) != number:
            raise UserError(
                f"training.logical_devices={number} comes too late: TensorFlow has "
                "already started its devices. Set it in a new process, before any "
                "other TensorFlow call."
            ) from error


def _join_cluster() -> tf.distribute.Strategy:
    _check_cluster()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(
            "training.strategy=multi_worker comes too late: TensorFlow has already "
            "started its devices. Set it in a new process, before any other "
            "TensorFlow call."
        ) from error


def _check_cluster() -> None:
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        cluster, place = config["cluster"], config["task"]
        cluster["worker"], cluster[place["type"]][int(place["index"])]
    except (ValueError, LookupError, TypeError) as error:
        example = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
        example += '"task": {"type": "worker", "index": 0}}'
        raise UserError(
            f"training.strategy=multi_worker reads the environment variable TF_CONFIG, "
            f"which is {text or 'not set'!r}. Give each process its place, for "
            f"example TF_CONFIG='{example}'."
        ) from error
