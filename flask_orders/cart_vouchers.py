"""Take the voucher off an ordered cart, with the version that the cart's row has next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Column, Table, Update, bindparam, update

from .db.defaults import UpdatedColumns
from .db.writes import PREFIX, Write
from .models import Models
from .models.contract import key_in
from .plan import VoucherRemoval
from .versions import RowVersion

CART, VERSION = f"{PREFIX}cart", f"{PREFIX}cart_version"


@dataclass(frozen=True, slots=True)
class _Removal:
    """The UPDATE of one table of the cart's class."""

    statement: Update
    updated: UpdatedColumns
    sets_version: bool

    def of(self, removal: VoucherRemoval) -> Write:
        parameters = {CART: removal.cart_key, **self.updated.parameters()}
        if self.sets_version:
            parameters[VERSION] = removal.version
        return Write(self.statement, parameters, is_complete=self.updated.is_complete)


class CartVouchers:
    """The vouchers of one app's carts."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def removals(self, removal: VoucherRemoval) -> Sequence[Write]:
        """Return the UPDATEs that take a voucher off its cart."""
        return [update.of(removal) for update in self._removals]

    @cached_property
    def _removals(self) -> list[_Removal]:
        cart, version = self._models.shop.cart, RowVersion.of(self._models.Cart)
        values: dict[Column[Any], Any] = {}
        if cart.voucher is not None:
            # A text column that is NOT NULL has no code while it is empty.
            values[cart.voucher] = None if cart.voucher.nullable else ""
        if version is not None:
            values[version.column] = bindparam(VERSION, type_=version.column.type)
        return [
            self._removal(rows, new, sets_version=version is not None and version.column in new)
            for rows in cart.source.tables
            if (new := {column: values[column] for column in values if column.table is rows})
        ]

    def _removal(
        self, rows: Table, new: Mapping[Column[Any], Any], *, sets_version: bool
    ) -> _Removal:
        key = self._models.shop.cart.key
        is_cart = key_in(rows, self._models.Cart, key) == bindparam(CART, type_=key.type)
        updated = UpdatedColumns(rows, without=list(new))
        values = {**new, **updated.assigned}
        return _Removal(update(rows).where(is_cart).values(values), updated, sets_version)
