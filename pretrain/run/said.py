"""One line for what several ranks have to say: the first of them says it."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta

import torch.distributed as dist
import xxhash
from torch._C._distributed_c10d import TCPStore

_PATIENCE = timedelta(seconds=10)


def is_said_first(what: str) -> bool:
    """Return whether no other rank of this start of the run has said this; where ranks cannot know, it is said.

    The store that ranks meet in is one of torchrun's own processes: it is there when ranks have gone.
    """
    environment = os.environ
    if environment.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return True
    with suppress(dist.DistError, KeyError, ValueError):
        place = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
        store = TCPStore(*place, is_master=False, timeout=_PATIENCE)
        start = environment.get("TORCHELASTIC_RESTART_COUNT", "0")
        return store.add(f"said/{start}/{xxhash.xxh3_64_hexdigest(what)}", 1) == 1
    return True
