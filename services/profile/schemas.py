"""What the profile service answers."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class Profile(BaseModel):
    """A user's profile. ``account_key`` is the same for all addresses of one person."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    email: str
    name: str
    plan: str
    country: str
    created_at: datetime
    account_key: str
