"""Use of processor, memory, disk, network and GPU while a run goes on."""

import os
import threading
from collections.abc import Callable, Mapping

Log = Callable[[Mapping[str, float], int], None]


class SystemMetrics(threading.Thread):
    """Samples the machine with MLflow's own collectors, under MLflow's own names.

    MLflow's `SystemMetricsMonitor` asks the tracking server for the run before every
    sample and ends for good when it does not answer; this one only calls `log`.

    Args:
        log: Takes `{"system/...": value}` and a step.
        first_step: Number of the first sample, so that a resumed run goes on counting.
        seconds: Between samples; `MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL` goes first.
    """

    def __init__(self, log: Log, first_step: int = 0, seconds: float = 10.0):
        super().__init__(name="seqloom-system-metrics", daemon=True)
        self.log = log
        self.step = first_step
        interval = os.environ.get("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL")
        self.seconds = float(interval) if interval else seconds
        self._finishing = threading.Event()

    def run(self) -> None:
        """Sample until finished; the last, shorter interval counts too."""
        collectors = _collectors()
        finishing = False
        while not finishing:
            finishing = self._finishing.wait(self.seconds)
            values = {}
            for collector in collectors:
                collector.collect_metrics()
                values.update(collector.aggregate_metrics())
                collector.clear_metrics()
            self.log(
                {f"system/{name}": value for name, value in values.items()}, self.step
            )
            self.step += 1

    def finish(self) -> None:
        """Take the last sample and end."""
        self._finishing.set()
        self.join(timeout=5)


def _collectors() -> list:
    """The collectors that work on this machine; imports MLflow."""
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
    from mlflow.system_metrics.metrics.rocm_monitor import ROCMMonitor

    found = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    for collector in (GPUMonitor, ROCMMonitor):
        try:
            found.append(collector())
            break
        except Exception:  # no such GPU, or its Python package is missing
            continue
    return found
