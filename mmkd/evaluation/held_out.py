"""Losses of a distillation on images that are not trained on."""
from typing import Any, Dict, List, Sequence

from mmengine.evaluator import BaseMetric

from mmkd.registry import METRICS


@METRICS.register_module()
class HeldOutLosses(BaseMetric):
    """The mean of each loss and figure over the batches of the validation.

    It needs no ground truth: the model's ``val_step`` gives the losses of its
    distillers, as of a :class:`~mmkd.core.model.DistillationModel` without
    labels.
    """

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the losses of a batch."""
        self.results += [dict(losses) for losses in data_samples]

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Average them by name."""
        return {
            name: sum(losses[name] for losses in results) / len(results)
            for name in results[0]
        }
