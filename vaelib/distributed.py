"""Several processes, one training: each takes its rows of every minibatch, all the same step."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from vaelib.models import VAE


class Team:
    """The processes that train together: this is number ``rank`` of ``size``; alone, 0 of 1."""

    def __init__(self, rank: int = 0, size: int = 1):
        self.rank, self.size = rank, size

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def rows(self, n: int) -> slice:
        """This process's part of a minibatch of ``n`` images, all of it where it is alone."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def gather(self, n: int, log_likelihood: Tensor, *codes: Tensor) -> list[Tensor]:
        """The ``n`` images of all processes; gradients flow into the own ones of each.

        The images are the last dimension of ``log_likelihood``, and the last but one of the
        ``codes``. So every process has the loss of the whole minibatch, whatever an objective makes
        of it, and its gradient through its own images; `sum_gradients` adds up the rest.
        """
        if self.size == 1:
            return [log_likelihood, *codes]
        own = [log_likelihood.movedim(-1, 0), *(code.movedim(-2, 0) for code in codes)]
        widths = [math.prod(t.shape[1:]) for t in own]
        packed = torch.cat([t.reshape(len(t), width) for t, width in zip(own, widths)], 1)
        rows, whole = self.rows(n), packed.new_zeros(n, packed.shape[1])
        whole[rows] = packed.detach()
        dist.all_reduce(whole)
        whole[rows] = packed
        first, *others = (
            part.reshape(n, *t.shape[1:]) for part, t in zip(whole.split(widths, 1), own)
        )
        return [first.movedim(0, -1), *(part.movedim(0, -2) for part in others)]

    def sum_gradients(self, model: VAE) -> None:
        """Each process's gradients added up, in all of them."""
        if self.size == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        # one message instead of many small ones
        whole = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(whole)
        parts = whole.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts):
            gradient.copy_(part.view_as(gradient))

    def why_unsupported(self, model: VAE) -> str | None:
        """Why these processes cannot train ``model`` together, as said of its sigma; else None."""
        if self.size == 1 or model.likelihood != "gaussian" or model.sigma != "optimal":
            return None
        what = f"is that of a whole minibatch, which none of {self.size} processes has"
        return f"{what}; train in one process, or take learnt, or a number"

    def broadcast_weights(self, model: VAE) -> None:
        """The leader's weights, in all processes; ValueError as `why_unsupported` says."""
        if refusal := self.why_unsupported(model):
            raise ValueError(f"sigma = optimal {refusal}")
        for tensor in model.state_dict().values() if self.size > 1 else ():
            own = tensor.contiguous()
            dist.broadcast(own, 0)
            tensor.copy_(own)

    def broadcast(self, question: Callable[[], Any]) -> Any:
        """The leader's answer, in all processes; an exception there is raised in all."""
        if self.size == 1:
            return question()
        answer: list[Any] = [None, None]
        if self.leads:
            try:
                answer[0] = question()
            except Exception as error:  # carried to the others, and raised below
                answer[1] = error
        dist.broadcast_object_list(answer, 0)
        if answer[1] is not None:
            raise answer[1]
        return answer[0]

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The leader goes through alone, then the others: one downloads, the rest find it."""
        if self.size > 1 and not self.leads:
            dist.barrier()
        try:
            yield
        finally:
            if self.size > 1 and self.leads:
                dist.barrier()


def team() -> Team:
    """The processes of torch.distributed where it has been set up; this one alone where not."""
    if dist.is_available() and dist.is_initialized():
        return Team(dist.get_rank(), dist.get_world_size())
    return Team()


@contextmanager
def started_by_torchrun() -> Iterator[Team]:
    """Inside, the processes that torchrun started know each other.

    Without torchrun, or with one process of it, nothing is set up.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield Team()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield team()
    finally:
        dist.destroy_process_group()
