"""The training loop: epochs, validation, best weights, checkpoints, interruption."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict

import keras
import numpy as np
import tensorflow as tf

from seqloom.pipelines.averaging import WeightAverage
from seqloom.pipelines.best_weights import BestWeights
from seqloom.pipelines.checkpoints import Checkpoints
from seqloom.pipelines.config import TrainingConfig
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.feed import Feed
from seqloom.pipelines.interruption import Interrupted, Interruption
from seqloom.pipelines.optimization import (
    build_optimizer,
    current_rate,
    slow_down_encoder,
    spare_from_decay,
)
from seqloom.pipelines.position import Position, lower_is_better
from seqloom.pipelines.progress import TrainingProgress
from seqloom.pipelines.run import Run
from seqloom.pipelines.scores import plain_score
from seqloom.pipelines.steps import SMALLEST_LOSS_SCALE, TrainingStep
from seqloom.pipelines.strategy import any_worker
from seqloom.pipelines.training_log import TrainingLog


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
        log_every_steps: How many steps lie between two logged losses.
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
        self.progress = progress or TrainingProgress()
        self.log = TrainingLog(log, log_every_steps, self.progress)
        self.position = Position()
        self.best_weights = BestWeights(model, run.weights_path)
        self.interruption = Interruption(self.progress.say, any_worker(strategy))

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
        self._started = time.perf_counter() - self.position.seconds
        calls = self._callback_list(callbacks)
        with self.progress, self.interruption.caught(), self._lost_worker_told():
            self.progress.begin(total_steps, self.position.step)
            calls.on_train_begin()
            while not self.position.finished:
                calls.on_epoch_begin(self.position.epoch)
                logs = self._train_epoch(calls, total_steps)
                if self._validation_due(total_steps):
                    logs |= self._validate(validate)
                calls.on_epoch_end(self.position.epoch, logs)
                self._end_epoch(total_steps)
            calls.on_train_end()
            if self.settings.average_checkpoints:
                self._try_average(validate, self.settings.average_checkpoints)
        return self.position

    def load_best(self) -> None:
        """Put the best weights into the model; the chief keeps them for good."""
        if not self.position.best:
            raise UserError(
                f"No weights could be kept in {self.run.weights_path.parent}. Make "
                f"room on the disk, and train a new run instead of {self.run.folder}."
            )
        if self.chief:
            self.best_weights.finish(self.position.best["step"])

    def _train_epoch(self, calls, total_steps: int) -> dict:
        position = self.position
        per_step = self.feed.batches_per_step
        plan = self.feed.plan(position.epoch)
        batches = iter(self.feed.stream(plan, position.epoch, position.batch))
        while (
            position.batch < len(plan)
            and position.step < total_steps
            and not self.model.stop_training
        ):
            count = self._steps_until_a_stop(plan, total_steps)
            calls.on_train_batch_begin(position.batch // per_step)
            started = time.perf_counter()
            report = self.step(batches, np.int32(count)).numpy()  # (count, 3)
            seconds = time.perf_counter() - started
            self._check_finite(report)
            done = plan[position.batch : position.batch + count * per_step]
            tokens = self.feed.tokens(done, position.epoch)
            position.advance(report, per_step, seconds, tokens)
            self.log.steps(position, report, tokens / seconds, self._learning_rate)
            last = position.batch // per_step - 1
            calls.on_train_batch_end(last, {"loss": position.mean_loss})
            self._stop_on_the_way(last=position.batch >= len(plan))
        return {"loss": position.mean_loss}

    def _validation_due(self, total_steps: int) -> bool:
        """After every so many epochs, and always at the end."""
        epochs = self.position.epoch + 1
        return (
            epochs % self.settings.validate_epochs == 0
            or epochs >= self.settings.epochs
            or self.position.step >= total_steps
            or bool(self.model.stop_training)
        )

    def _validate(self, validate) -> dict:
        """Validation metrics of the (averaged) weights; keeps them if they are best."""
        position = self.position
        with self.average.applied() if self.average else nullcontext():
            metrics = validate()
            value = self._monitored(metrics)
            improved = position.would_improve(value, self.settings.monitor)
            kept = improved and self._keep_weights()
        if kept:
            position.best = {
                "step": position.step,
                "epoch": position.epoch + 1,
                "value": value,
                "metrics": metrics,
            }
        position.worse_validations = 0 if improved else position.worse_validations + 1
        seconds = time.perf_counter() - self._started
        self.log.validation(position, metrics, improved, seconds)
        return {f"val_{name}": number for name, number in metrics.items()}

    def _try_average(self, validate, count: int) -> None:
        """Keep the mean of the last checkpoints' weights if it is better than all."""
        group = "average" if self.average else "model"
        values = self.checkpoints.mean(group, count)
        if group == "model":  # without the states of random generators
            own = {id(weight) for weight in self.model.trainable_variables}
            pairs = zip(self.model.variables, values, strict=True)
            values = [value for variable, value in pairs if id(variable) in own]
        for weight, value in zip(self.model.trainable_variables, values, strict=True):
            weight.assign(value)
        metrics = validate()
        reached = self._monitored(metrics)
        improved = self.position.would_improve(reached, self.settings.monitor)
        if improved and self._keep_weights():
            step, epoch = self.position.step, self.position.epoch
            self.position.best = {
                "step": step,
                "epoch": epoch,
                "value": reached,
                "metrics": metrics,
            }
        name = self.settings.monitor
        self.progress.say(
            f"The mean of the last {count} checkpoints has {name} "
            f"{plain_score(name, reached)}: "
            f"{'better than all, kept' if improved else 'not kept'}."
        )

    def _end_epoch(self, total_steps: int) -> None:
        position, patience = self.position, self.settings.patience
        tired = patience is not None and position.worse_validations >= patience
        position.epoch += 1
        position.batch = 0
        position.epoch_loss = position.epoch_weight = 0.0
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
        self._stop_for(self.interruption.wanted())

    # === Preparation ===

    def _build(self, examples) -> int:
        """Make optimizer, average and graph; gives the number of steps to train."""
        settings = self.settings
        self.feed = Feed(self.task, examples, self.strategy, settings, self.seed)
        total_steps = settings.epochs * self.feed.steps_per_epoch
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
            spare_from_decay(self.optimizer, self.model.trainable_variables)
            self.optimizer.build(self.model.trainable_variables)
        own_rate = settings.encoder_learning_rate or settings.learning_rate
        slow_down_encoder(
            self.optimizer,
            self.model,
            share=own_rate / settings.learning_rate,
            decay=settings.layer_decay,
        )
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

    def _callback_list(self, callbacks):
        callbacks = list(callbacks)
        for callback in callbacks:
            # Without compile() Keras cannot tell which way a metric improves.
            if getattr(callback, "mode", None) == "auto":
                callback.mode = "min" if lower_is_better(callback.monitor) else "max"
        self.model.stop_training = False
        return keras.callbacks.CallbackList(
            callbacks,
            model=self.model,
            epochs=self.settings.epochs,
            steps=self.feed.steps_per_epoch,
        )

    # === Saving and stopping ===

    def _steps_until_a_stop(self, plan, total_steps: int) -> int:
        position, settings = self.position, self.settings
        left = (len(plan) - position.batch) // self.feed.batches_per_step
        count = min(settings.steps_per_call, left, total_steps - position.step)
        if settings.checkpoint_steps:
            due = settings.checkpoint_steps - position.step % settings.checkpoint_steps
            count = min(count, due)
        return count

    def _stop_on_the_way(self, last: bool) -> None:
        """Save in mid-epoch where it is due or asked for; its end saves anyway."""
        if last:
            return
        every = self.settings.checkpoint_steps
        due = every is not None and self.position.step % every == 0
        signal = self.interruption.wanted()
        if due or signal:
            self._save()
        self._stop_for(signal)

    def _stop_for(self, signal: int | None) -> None:
        if signal:
            raise Interrupted(signal, self.position.step, self._how_to_go_on())

    @contextmanager
    def _lost_worker_told(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.UnavailableError as error:
            raise UserError(
                f"Another worker has gone after step {self.position.step}: see what it "
                f"said last. Start all of them again. {self._how_to_go_on()}"
            ) from error

    def _how_to_go_on(self) -> str:
        if not self.chief:
            return "The first worker says how to go on."
        return f"Go on with: make train TASK={self.task.name} RESUME={self.run.folder}"

    def _save(self) -> None:
        self.position.seconds = time.perf_counter() - self._started
        # The last update may have broken what gave a finite loss before it.
        if not all(np.isfinite(w).all() for w in self.model.get_weights()):
            raise self._not_finite(self.position.step, "a weight is not finite")
        if not self.chief:
            return
        try:
            self.run.append_history(self.log.rows)
            self.log.rows = []
            self.checkpoints.save(self.position.step, asdict(self.position))
        except OSError as error:
            self.progress.say(
                f"No checkpoint at step {self.position.step}: {error}. The one before "
                "is unharmed and training goes on; make room on the disk."
            )
            return
        kept = [values["best"] for values in self.checkpoints.values()]
        self.best_weights.drop_others({best["step"] for best in kept if best})

    def _keep_weights(self) -> bool:
        """Save the weights as the best ones; False if the disk does not take them."""
        if not self.chief:
            return True
        try:
            self.best_weights.save(self.position.step)
        except OSError as error:
            self.progress.say(
                f"The weights of step {self.position.step} are the best so far but "
                f"cannot be kept: {error}. Training goes on; make room on the disk."
            )
            return False
        return True

    def _restore(self) -> None:
        values = self.checkpoints.restore(self.progress.say)
        if values is not None:
            self.position = Position(**values)
        if self.chief:
            self.run.cut_history(self.position.step)
        if values is None:
            return
        self.progress.say(
            f"Going on from step {self.position.step}, epoch {self.position.epoch + 1}."
        )

    def _check_finite(self, report) -> None:
        watched = report
        # A float16 gradient may overflow: the loss scale deals with that, to a point.
        scale = self.step.loss_scale.numpy()
        if self.step.scale_loss and scale >= SMALLEST_LOSS_SCALE:
            watched = report[:, :2]
        if np.isfinite(watched).all():
            return
        bad = int(np.argmin(np.isfinite(watched).all(axis=1)))
        raise self._not_finite(
            self.position.step + bad + 1,
            f"loss sum {report[bad, 0]:g}, gradient norm {report[bad, 2]:g}",
        )

    def _not_finite(self, step: int, what: str) -> UserError:
        found = self.checkpoints.paths()
        kept = (
            f"The last good checkpoint is {found[-1].with_suffix('.npz')}."
            if found
            else "There is no checkpoint yet."
        )
        return UserError(
            f"The loss is no longer finite at step {step} ({what}). {kept} "
            "Try a smaller training.learning_rate, more training.warmup_steps, or a "
            "smaller training.clip_norm."
        )

    def _learning_rate(self) -> float:
        return current_rate(self.optimizer)

    def _monitored(self, metrics: dict[str, float]) -> float:
        name = self.settings.monitor
        if name not in metrics:
            raise UserError(
                f"training.monitor={name} is not a validation metric of this task. "
                f"There are: {', '.join(sorted(metrics))}."
            )
        return metrics[name]
