"""The self-tests of chapter 12."""

from __future__ import annotations

import math

import torch
from torch import nn

from vaelib.exercises import answered


def exercise_3(snapshot) -> None:
    """``snapshot(model, optimizer, generator)`` returns ``restore()``, which puts them back."""
    torch.manual_seed(3)
    first = nn.Linear(3, 2).state_dict()

    def begin() -> tuple[nn.Module, torch.optim.Optimizer, torch.Generator]:
        model = nn.Linear(3, 2)
        model.load_state_dict(first)
        return model, torch.optim.Adam(model.parameters(), lr=0.1), torch.Generator().manual_seed(4)

    def train(model, optimizer, generator, steps):
        for _ in range(steps):
            x = torch.randn(5, 3, generator=generator)
            loss = (model(x) - x[:, :2]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    whole = begin()
    train(*whole, 4)
    halfway = [p.detach().clone() for p in whole[0].parameters()]
    end = train(*whole, 6)

    broken = begin()
    train(*broken, 4)
    restore = answered(snapshot(*broken))
    assert callable(restore), "Return a function that puts everything back when it is called."
    for time in ("first", "second"):
        train(*broken, 5)  # what a crash loses
        answered(restore())
        model, optimizer, generator = broken
        back = all(torch.equal(a, b) for a, b in zip(model.parameters(), halfway))
        assert back, (
            f"After the {time} restore() the weights are not those of the snapshot. "
            "A state_dict refers to the tensors that training goes on to change: did you copy them?"
        )
        result = train(model, optimizer, generator, 6)
        if not torch.equal(result, end):
            x = torch.randn(2, generator=generator)
            same = torch.equal(x, torch.randn(2, generator=_after(whole[2])))
            raise AssertionError(
                f"After the {time} restore() training goes on to other weights. "
                + (
                    "The noise is the same: what does Adam remember?"
                    if same
                    else "Is the noise the same as without a break?"
                )
            )


def _after(generator: torch.Generator) -> torch.Generator:
    """A generator that draws what this one would draw next."""
    twin = torch.Generator()
    twin.set_state(generator.get_state())
    return twin


def exercise_4(stop_epoch) -> None:
    """``stop_epoch(elbos, patience)``: the first epoch at which the best is that many epochs old.

    None if there is none.
    """

    def expect(elbos, patience, expected, hint):
        result = answered(stop_epoch(list(elbos), patience))
        assert result == expected and not isinstance(result, bool), (
            f"ELBOs {list(elbos)}, patience {patience}: you say {result}, it should be {expected}. "
            f"{hint}"
        )

    expect([-120, -110, -112, -111, -113], 3, 5, "The best is that of epoch 2.")
    expect([-120, -110, -112, -111], 3, None, "The best is two epochs old: no reason to stop yet.")
    expect(
        [-120, -110, -112, -109, -110, -111], 2, 6, "Epoch 4 was better, and the count began again."
    )
    expect([-120, -110, -110, -110], 2, 4, "A tie is not better.")
    expect([-5, -4, -3], 1, None, "It gets better in every epoch.")
    expect(
        [-100.0, -math.inf, -99.0, -99.5],
        1,
        2,
        "With patience 1 the first epoch that is not better ends it.",
    )
