"""The drivers of shops, each in a module with the name of its shop: its class `DRIVER`."""

from .. import drivers  # noqa: F401 - first: it imports each of these modules
