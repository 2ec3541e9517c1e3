"""The form in which a person signs in with a token."""

from __future__ import annotations

from urllib.parse import parse_qs

from vitatt.serving.refusals import Refusal


def token_of_form(body: bytes) -> str:
    """Return the token in a form.

    Raises:
        Refusal: If it cannot be read.
    """
    try:
        return parse_qs(body.decode(), max_num_fields=4).get("token", [""])[0]
    except ValueError as error:
        raise Refusal(400, "The form cannot be read.") from error
