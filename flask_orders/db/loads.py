"""Make the loads of relationships locking reads, where a plain SELECT may be outdated.

In a transaction of the shop's own that has read before, MariaDB's REPEATABLE READ keeps on showing
the rows as they were then, but for the rows that a locking read returns.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session

from .managed import is_managed


@contextmanager
def latest_loads(session: Session) -> Iterator[None]:
    """Have relationships that are loaded meanwhile read the latest rows, FOR SHARE.

    A managed transaction reads them in any case, and locks no row that it doesn't change.
    """
    if is_managed(session.connection()):
        yield
        return
    event.listen(session, "do_orm_execute", _share)
    try:
        yield
    finally:
        event.remove(session, "do_orm_execute", _share)


def _share(state: ORMExecuteState) -> None:
    mapper = state.bind_mapper
    if state.is_relationship_load and mapper is not None:
        load: Any = state.statement
        state.statement = load.with_for_update(read=True, of=mapper.class_)
