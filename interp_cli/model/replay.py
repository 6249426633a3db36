"""Many small operations on tensors, recorded once and replayed without Python between them.

On a CPU a step of alignment is some hundred operations of a few microseconds each. Python between them takes as long as
they do, and threads that make frames side by side wait for each other's Python. A recording runs outside the
interpreter lock. It gives the same bits.
"""

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

AFTER = 16  # calls, after which recording pays: one or two frames are made sooner without
_recording = threading.Lock()


class Replay:
    """Recordings by name and by the shapes of the tensors; one for every network.

    Only for inference on a CPU; everything else, and a torch that cannot record, runs as written.
    """

    def __init__(self) -> None:
        self.recorded: dict[Hashable, Callable[..., Tensor]] = {}
        self._calls: Counter[Hashable] = Counter()

    def __call__(self, name: str, work: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        """`work(*tensors)`. It may use nothing but the tensors and what never changes under this `name`."""
        if not torch.is_inference_mode_enabled() or any(x.device.type != "cpu" for x in tensors):
            return work(*tensors)
        key = (name, *(tuple(x.shape) for x in tensors))
        recorded = self.recorded.get(key)
        if recorded is None and _recording.acquire(blocking=False):  # while one thread records, others go on without
            try:
                self._calls[key] += 1
                if self._calls[key] > AFTER and key not in self.recorded:
                    recorded = self.recorded[key] = _record(work, tensors)
            finally:
                _recording.release()
        return (recorded or work)(*tensors)


def _record(work: Callable[..., Tensor], tensors: tuple[Tensor, ...]) -> Callable[..., Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes become constants, as they may: they are part of the key
        try:
            plain = lambda *inputs: work(*inputs)  # noqa: E731 - a method cannot be recorded by itself
            recorded: Callable[..., Tensor] = torch.jit.trace(plain, tensors, check_trace=False)  # type: ignore[no-untyped-call]
        except (AttributeError, RuntimeError):  # deprecated: a later torch may have none
            return work
    return recorded
