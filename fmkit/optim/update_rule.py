"""`UpdateRule`: how a training step turns a batch into updates of the weights.

The default is what `keras.Model.fit` does: one loss and one optimizer. A task returns another rule
from `Task.update_rule`, such as one that alternates two optimizers on two sets of variables
(adversarial training), or one that clips the gradient of each example (private training). The loop,
checkpoints, resume, the moving average and the freeze audit work with whatever optimizers a rule
has, and do not know which rule it is.

A rule keeps no state between steps but the variables of its optimizers: they are what a checkpoint
holds.
"""

from collections.abc import Mapping
from typing import Any

import keras

from fmkit.config.schema.optimizer import OptimizerConfig
from fmkit.models.keras_internals import LossScale, all_layers, own_state_variables
from fmkit.optim import optimizers
from fmkit.optim.windows import UpdateWindows


class UpdateRule:
    """One loss, one optimizer; another rule overrides `group_variables` and `train_step`.

    Attributes:
        optimizers: by the name of their group of variables, in the order of the groups; set by
            `build`, and empty where a solver trains. The first one's learning rate is recorded.
        variables: what each of them updates.
    """

    def __init__(self) -> None:
        self.optimizers: dict[str, Any] = {}
        self.variables: dict[str, list[keras.Variable]] = {}

    def group_variables(self, model: Any) -> dict[str, list[keras.Variable]]:
        """The trainable variables of a model by the name of the optimizer that updates them.

        Each must be in exactly one group. Names become part of the paths of slots in checkpoints;
        the name of an only group may be empty.
        """
        return {"": list(model.trainable_variables)}

    def build(
        self,
        model: Any,
        config: OptimizerConfig,
        schedule: keras.optimizers.schedules.LearningRateSchedule | float,
        multipliers: Mapping[int, float],
        pretrained: Mapping[int, keras.Variable],
        windows: UpdateWindows | None = None,
    ) -> None:
        """Make an optimizer with its slots for each group of which something trains.

        Args:
            model: the `TaskModel` that trains, frozen for the phase.
            config, schedule, multipliers, pretrained, windows: of each optimizer, see
                `optimizers.build`.
        """
        groups = self.group_variables(model)
        self.variables = {name: group for name, group in groups.items() if group}
        self.optimizers = {}
        statistics = trained_statistics(model)  # averaged by the first of several
        for name, variables in self.variables.items():
            optimizer = optimizers.build(
                config, schedule, variables, multipliers, pretrained, windows, statistics
            )
            statistics = ()
            if model.dtype_policy.name == "mixed_float16":
                # As Keras' `compile` wraps the one that it is given.
                optimizer = LossScale(optimizer, name="loss_scale_optimizer")
                optimizer.build(variables)
            self.optimizers[name] = optimizer

    def train_step(self, model: Any, *arguments: Any) -> Any:
        """Train on a batch.

        Args:
            model: the `TaskModel` that trains. `TaskModel.minimize` makes one update of a group,
                `TaskModel.finish_step` records the loss and the metrics.
            *arguments: what the backend hands to `keras.Model.train_step`: the batch (inputs,
                targets and perhaps weights of the examples); on JAX the variables, then the batch.

        Returns:
            Metrics by name; on JAX together with the variables.
        """
        return model.default_train_step(*arguments)


def trained_statistics(model: keras.Model) -> tuple[keras.Variable, ...]:
    """The moving statistics of the BatchNorm layers that use those of a batch in training."""
    return tuple(
        variable
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        for variable in own_state_variables(layer)
        if "seed" not in variable.path
    )
