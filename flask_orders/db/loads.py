"""Make the loads of relationships locking reads, so that what they return stays true.

A plain SELECT may be outdated: in a transaction of the shop's own that has read before, InnoDB's
REPEATABLE READ shows the rows as they were then, and elsewhere a row may change after it was read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session


@contextmanager
def locked_loads(session: Session) -> Iterator[None]:
    """Have relationships that are loaded meanwhile read the latest rows, FOR SHARE.

    Other orders need not wait for these locks; a change of the rows waits for the transaction.
    """
    event.listen(session, "do_orm_execute", _share)
    try:
        yield
    finally:
        event.remove(session, "do_orm_execute", _share)


def _share(state: ORMExecuteState) -> None:
    mapper = state.bind_mapper
    if state.is_relationship_load and mapper is not None:
        # In the order of their keys; and a row that an outer join adds can't be locked.
        load: Any = state.statement
        locked = load.with_for_update(read=True, of=list(mapper.tables))
        state.statement = locked.order_by(*mapper.primary_key)
