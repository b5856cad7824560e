"""What the loop asks of a learner in every step."""

import pytest

pytestmark = pytest.mark.train


def test_what_is_trained_is_looked_for_once_unless_fsdp_divided_it() -> None:
    """A step that walks through the model pays for it; FSDP's parts are gathered back each time, and looked at anew."""
    from torch import nn

    from train.learner import Learner

    class Divided(nn.Linear):
        resharded = 0

        def reshard(self) -> None:
            """Exchange the parameter for another, as FSDP does."""
            self.resharded += 1
            self.weight = nn.Parameter(self.weight.detach().clone())

    whole = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(requires_grad=False))
    learner = Learner(None, whole, whole, None)
    assert list(learner.parameters()) == ["0.weight", "0.bias"]
    assert learner.parameters() is learner.parameters()

    divided = nn.Sequential(Divided(2, 2))
    learner = Learner(None, divided, divided, None)
    for times in (1, 2):
        assert learner.parameters()["0.weight"] is divided[0].weight
        assert divided[0].resharded == times
