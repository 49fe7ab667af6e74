"""What can go wrong between the service and Milvus."""

from models.errors import HammingwayError


class StoreUnavailableError(HammingwayError):
    """Milvus cannot be reached, or cannot answer now."""

    status = 503
    title = "Store unavailable"


class NotOfferedError(HammingwayError):
    """What this store cannot do."""

    status = 501
    title = "Not offered by this store"
