"""The drivers of shops, each in a module with the name of its shop: its class `DRIVER`."""
