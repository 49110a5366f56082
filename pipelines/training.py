"""The training loop: epochs, validation, best weights, checkpoints, interruption."""

import math
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field

import keras
import numpy as np

from seqloom.pipelines import batching
from seqloom.pipelines.averaging import WeightAverage
from seqloom.pipelines.checkpoints import Checkpoints
from seqloom.pipelines.config import TrainingConfig
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.optimization import build_optimizer, current_rate
from seqloom.pipelines.progress import TrainingProgress
from seqloom.pipelines.run import Run
from seqloom.pipelines.steps import TrainingStep

LOWER_IS_BETTER = ("loss", "perplexity", "error")


class Interrupted(Exception):
    """Training was told to stop; all is saved and the run can go on later."""


@dataclass
class Position:
    """Where a training stands; saved with every checkpoint."""

    epoch: int = 0
    batch: int = 0  # micro-batches of this epoch that are done
    step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    best: dict = field(default_factory=dict)  # step, value, metrics
    worse_validations: int = 0
    finished: bool = False


class Trainer:
    """Fits a task's model under a tf.distribute strategy.

    The loop is our own, since `Model.fit` cannot run on several workers in Keras 3;
    Keras callbacks work as usual.

    Args:
        task: Gives batches and the loss.
        model: Built under `strategy.scope()`.
        settings: The `training` section of a config.
        seed: Decides the order of the data and what is replaced in it.
        run: Receives checkpoints, best weights and the history.
        chief: Whether this process writes to the run directory.
        log: Called with (values, step) for the tracker.
    """

    def __init__(
        self,
        task,
        model: keras.Model,
        strategy,
        settings: TrainingConfig,
        seed: int,
        run: Run,
        chief: bool = True,
        log: Callable[[dict, int], None] = lambda values, step: None,
        log_every_steps: int = 20,
        progress: TrainingProgress | None = None,
    ):
        self.task = task
        self.model = model
        self.strategy = strategy
        self.settings = settings
        self.seed = seed
        self.run = run
        self.chief = chief
        self.log = log
        self.log_every_steps = log_every_steps
        self.progress = progress or TrainingProgress()
        self.position = Position()
        self._history: list[dict] = []
        self._signal: int | None = None

    # === The loop ===

    def fit(
        self,
        examples,
        validate: Callable[[], dict[str, float]],
        callbacks: Iterable[keras.callbacks.Callback] = (),
    ) -> Position:
        """Train until the epochs, the steps or the patience are used up.

        Args:
            examples: Encoded training examples.
            validate: Gives the validation metrics of the model as it is.

        Raises:
            Interrupted: after Ctrl-C or SIGTERM, when all has been saved.
            UserError: when the loss is no longer a finite number.
        """
        total_steps = self._build(examples)
        self._restore()
        callbacks = self._callback_list(callbacks, total_steps)
        with self.progress, self._catch_signals():
            self.progress.begin(total_steps, self.position.step)
            callbacks.on_train_begin()
            while not self.position.finished:
                callbacks.on_epoch_begin(self.position.epoch)
                logs = self._train_epoch(examples, callbacks, total_steps)
                logs |= self._validate(validate)
                callbacks.on_epoch_end(self.position.epoch, logs)
                self._end_epoch(total_steps)
            callbacks.on_train_end()
        return self.position

    def _train_epoch(self, examples, callbacks, total_steps: int) -> dict:
        settings, position = self.settings, self.position
        plan = self._plan(examples, position.epoch)
        batches = iter(self._distribute(examples, plan, position.epoch, position.batch))
        loss = tokens = 0.0
        while position.batch < len(plan) and position.step < total_steps:
            count = self._steps_until_a_stop(plan, total_steps)
            callbacks.on_train_batch_begin(position.step)
            started = time.perf_counter()
            report = self.step(batches, np.int32(count)).numpy()  # (count, 3)
            seconds = time.perf_counter() - started
            self._check_finite(report)
            position.batch += count * self._batches_per_step
            position.step += count
            position.tokens += int(report[:, 1].sum())
            position.seconds += seconds
            loss, tokens = loss + report[:, 0].sum(), tokens + report[:, 1].sum()
            self._record(report, seconds)
            callbacks.on_train_batch_end(position.step - 1, {"loss": loss / tokens})
            if self._checkpoint_due():
                self._save()
            self._stop_if_asked()
        return {"loss": float(loss / max(tokens, 1.0))}

    def _validate(self, validate) -> dict:
        """Validation metrics of the (averaged) weights; keeps them if they are best."""
        started = time.perf_counter()
        settings, position = self.settings, self.position
        with self.average.applied() if self.average else nullcontext():
            metrics = validate()
            value = self._monitored(metrics)
            improved = not position.best or self._is_better(
                value, position.best["value"]
            )
            if improved and self.chief:
                self._save_best(position.step)
        if improved:
            position.best = {
                "step": position.step,
                "epoch": position.epoch,
                "value": value,
                "metrics": metrics,
            }
            position.worse_validations = 0
        else:
            position.worse_validations += 1
        position.seconds += time.perf_counter() - started
        logs = {f"val_{name}": number for name, number in metrics.items()}
        self._history.append(
            {"step": position.step, "epoch": position.epoch + 1, **logs}
        )
        self.log({f"validation/{k}": v for k, v in metrics.items()}, position.step)
        self._say_validation(metrics, improved)
        return logs

    def _end_epoch(self, total_steps: int) -> None:
        position, patience = self.position, self.settings.patience
        position.epoch += 1
        position.batch = 0
        tired = patience is not None and position.worse_validations >= patience
        position.finished = (
            tired
            or position.epoch >= self.settings.epochs
            or position.step >= total_steps
            or bool(self.model.stop_training)
        )
        self._save()
        if tired:
            self.progress.say(
                f"Stopping early: {self.settings.monitor} has not improved in "
                f"{patience} validations."
            )
        if not position.finished:
            self._stop_if_asked()

    # === Preparation ===

    def _build(self, examples) -> int:
        """Make optimizer, average and graph; gives the number of steps to train."""
        settings = self.settings
        self._batches_per_step = (
            settings.accumulation * self.strategy.num_replicas_in_sync
        )
        per_epoch = len(self._plan(examples, 0)) // self._batches_per_step
        total_steps = settings.epochs * per_epoch
        if settings.max_steps is not None:
            total_steps = min(total_steps, settings.max_steps)
        with self.strategy.scope():
            self.optimizer = build_optimizer(
                settings.optimizer,
                settings.learning_rate,
                settings.schedule,
                settings.warmup_steps,
                total_steps,
                settings.weight_decay,
                settings.optimizer_options,
            )
            self.optimizer.build(self.model.trainable_variables)
        self.model.optimizer = self.optimizer
        self.average = (
            WeightAverage(self.model, settings.ema, self.strategy)
            if settings.ema
            else None
        )
        self.step = TrainingStep(
            self.task,
            self.model,
            self.optimizer,
            self.strategy,
            accumulation=settings.accumulation,
            clip_norm=settings.clip_norm,
            average=self.average,
            jit_compile=settings.jit_compile,
            scale_loss=settings.precision == "mixed_float16",
        )
        self.checkpoints = Checkpoints(
            self.run.checkpoint_dir,
            {
                "model": self.model.variables,
                "optimizer": self.optimizer.variables,
                "average": self.average.averages if self.average else [],
                "loss_scale": [self.step.loss_scale, self.step.good_steps],
            },
            keep=settings.keep_checkpoints,
        )
        return total_steps

    def _plan(self, examples, epoch: int) -> list[np.ndarray]:
        return batching.plan_training(
            examples.lengths,
            batch_tokens=self.settings.batch_tokens,
            max_rows=self.settings.max_rows or len(examples),
            batches_per_step=self._batches_per_step,
            num_replicas=self.strategy.num_replicas_in_sync,
            seed=self.seed,
            epoch=epoch,
        )

    def _distribute(self, examples, plan, epoch: int, first: int):
        """This worker's part of the planned batches, from number `first` on."""
        seed = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0] >> 1)
        replicas = self.strategy.num_replicas_in_sync

        def make(context):
            numbers = batching.worker_share(
                len(plan),
                first,
                replicas,
                context.input_pipeline_id,
                context.num_input_pipelines,
            )
            return batching.dataset(self.task, examples, plan, True, seed, numbers)

        return self.strategy.distribute_datasets_from_function(make)

    def _callback_list(self, callbacks, total_steps):
        callbacks = list(callbacks)
        for callback in callbacks:
            # Without compile() Keras cannot tell which way a metric improves.
            if getattr(callback, "mode", None) == "auto":
                callback.mode = "min" if _lower_is_better(callback.monitor) else "max"
        self.model.stop_training = False
        return keras.callbacks.CallbackList(
            callbacks,
            model=self.model,
            epochs=self.settings.epochs,
            steps=total_steps,
        )

    # === Stops on the way ===

    def _steps_until_a_stop(self, plan, total_steps: int) -> int:
        position, settings = self.position, self.settings
        left = (len(plan) - position.batch) // self._batches_per_step
        count = min(settings.steps_per_call, left, total_steps - position.step)
        if settings.checkpoint_steps:
            due = settings.checkpoint_steps - position.step % settings.checkpoint_steps
            count = min(count, due)
        return count

    def _checkpoint_due(self) -> bool:
        every = self.settings.checkpoint_steps
        return bool(every) and self.position.step % every == 0

    def _stop_if_asked(self) -> None:
        if self._signal is None:
            return
        if self.position.batch:  # the end of an epoch has saved already
            self._save()
        raise Interrupted(
            f"Stopped at step {self.position.step} by {signal.Signals(self._signal).name}"
            f"; everything is saved in {self.run.folder}."
        )

    @contextmanager
    def _catch_signals(self):
        """Ctrl-C and SIGTERM end training after the running step, not within it."""

        def note(number, _frame):
            if self._signal is not None:
                raise KeyboardInterrupt  # a second Ctrl-C does not wait
            self._signal = number
            self.progress.say("Stopping after this step ...")

        try:
            before = {
                n: signal.signal(n, note) for n in (signal.SIGINT, signal.SIGTERM)
            }
        except ValueError:  # not the main thread: signals are the caller's
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _check_finite(self, report) -> None:
        watched = (
            report[:, :2] if self.settings.precision == "mixed_float16" else report
        )
        if np.isfinite(watched).all():
            return
        bad = int(np.argmin(np.isfinite(watched).all(axis=1)))
        found = self.checkpoints.paths()
        kept = (
            f"The last good checkpoint is {found[-1].with_suffix('.npz')}."
            if found
            else "There is no checkpoint yet."
        )
        raise UserError(
            f"The loss is no longer finite at step {self.position.step + bad + 1} "
            f"(loss sum {report[bad, 0]:g}, gradient norm {report[bad, 2]:g}). {kept} "
            "Try a smaller training.learning_rate, more training.warmup_steps, or a "
            "smaller training.clip_norm."
        )

    # === Best weights ===

    def _monitored(self, metrics: dict[str, float]) -> float:
        name = self.settings.monitor
        if name not in metrics:
            raise UserError(
                f"training.monitor={name} is not a validation metric of this task. "
                f"There are: {', '.join(sorted(metrics))}."
            )
        return metrics[name]

    def _is_better(self, value: float, best: float) -> bool:
        if math.isnan(value):
            return False
        if _lower_is_better(self.settings.monitor):
            return value < best
        return value > best

    def _best_path(self, step: int):
        return self.run.weights_path.with_name(f"step-{step:08d}.weights.h5")

    def _save_best(self, step: int) -> None:
        path = self._best_path(step)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.model.save_weights(path, overwrite=True)

    def load_best(self) -> None:
        """Put the best weights into the model, and keep them as best.weights.h5."""
        best = self._best_path(self.position.best["step"])
        if self.chief and best.exists():
            best.replace(self.run.weights_path)
            for other in best.parent.glob("step-*.weights.h5"):
                other.unlink()
        self.model.load_weights(self.run.weights_path)

    # === Saving ===

    def _save(self) -> None:
        if not self.chief:
            return
        self.run.append_history(self._history)
        self._history = []
        try:
            self.checkpoints.save(self.position.step, asdict(self.position))
        except OSError as error:
            self.progress.say(
                f"[red]No checkpoint at step {self.position.step}[/red]: {error}. "
                "The one before is unharmed and training goes on; make room on the disk."
            )
            return
        kept = self.position.best.get("step")
        for path in self.run.weights_path.parent.glob("step-*.weights.h5"):
            if path != self._best_path(kept or 0):
                path.unlink()

    def _restore(self) -> None:
        values = self.checkpoints.restore(self.progress.say)
        if values is None:
            return
        self.position = Position(**values)
        if self.chief:
            self.run.cut_history(self.position.step)
        self.progress.say(
            f"Going on from step {self.position.step}, epoch {self.position.epoch + 1}."
        )

    # === Reporting ===

    def _record(self, report, seconds: float) -> None:
        position = self.position
        rate = float(report[:, 1].sum() / max(seconds, 1e-9))
        losses = report[:, 0] / np.maximum(report[:, 1], 1.0)
        first = position.step - len(report) + 1
        for offset, (loss, norm) in enumerate(zip(losses, report[:, 2], strict=True)):
            self._history.append(
                {
                    "step": first + offset,
                    "loss": float(loss),
                    "gradient_norm": float(norm),
                }
            )
        if position.step // self.log_every_steps > (first - 1) // self.log_every_steps:
            values = {
                "loss": float(losses[-1]),
                "gradient_norm": float(report[-1, 2]),
                "learning_rate": current_rate(self.optimizer),
                "tokens_per_second": rate,
            }
            self.log({f"training/{k}": v for k, v in values.items()}, position.step)
        self.progress.update(position.step, position.epoch + 1, float(losses[-1]), rate)

    def _say_validation(self, metrics, improved: bool) -> None:
        position = self.position
        shown = "  ".join(
            f"{name} {value:.4f}" for name, value in list(metrics.items())[:4]
        )
        self.progress.say(
            f"epoch {position.epoch + 1:3}  step {position.step:6}  "
            f"{position.seconds:6.0f} s  {shown}{'  best so far' if improved else ''}"
        )


def _lower_is_better(metric: str) -> bool:
    return any(word in metric.lower() for word in LOWER_IS_BETTER)
