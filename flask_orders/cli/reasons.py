"""Why a statement or a function of the shop's failed, as a sentence of a command quotes it."""


def reason_of(error: Exception) -> str:
    """Return the first line of the driver's own error, or of the error if it has none."""
    reason, *_ = str(getattr(error, "orig", None) or error).splitlines() or [""]
    return reason
