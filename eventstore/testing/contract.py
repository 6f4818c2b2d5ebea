"""The contract as one class to inherit from."""

from __future__ import annotations

from eventstore.testing.appending import Appending
from eventstore.testing.checkpoints import Checkpoints
from eventstore.testing.consuming import Consuming, ConsumingElsewhere
from eventstore.testing.following import Following, FollowingOthers
from eventstore.testing.holding import Holding, HoldingElsewhere
from eventstore.testing.idempotence import Idempotence
from eventstore.testing.keeping import Keeping
from eventstore.testing.living import Closing, Hooks, Waiting
from eventstore.testing.order import Order
from eventstore.testing.persistence import Persistence
from eventstore.testing.purging import Purging
from eventstore.testing.reading import Reading
from eventstore.testing.refusals import Refusals
from eventstore.testing.restored_purges import RestoredPurges
from eventstore.testing.restoring import Restoring
from eventstore.testing.standings import Standings


class LogContract(
    Appending,
    Refusals,
    Keeping,
    Idempotence,
    Reading,
    Order,
    Checkpoints,
    Following,
    Consuming,
    Holding,
    Standings,
    Purging,
    Restoring,
    RestoredPurges,
    Waiting,
    Hooks,
    Closing,
):
    """What every log must do. Inherit from it in a class `Test…` of your own suite and override `open_log`."""


class PersistentLogContract(LogContract, Persistence, FollowingOthers, ConsumingElsewhere, HoldingElsewhere):
    """What a log must do besides if it outlives the object that opened it."""
