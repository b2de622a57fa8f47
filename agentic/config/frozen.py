"""What all models of the configuration have in common."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Read once, never changed. Unknown keys are kept out (and warned about by the loader)."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        coerce_numbers_to_str=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )
