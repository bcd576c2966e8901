"""The type of a query, whatever it selects, on SQLAlchemy 2.0 and 2.1.

The former counts the selected types as one parameter of `Select`, the latter as many.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import Select

if TYPE_CHECKING:
    Query: TypeAlias = Select[*tuple[Any, ...]]
else:
    Query = Select
