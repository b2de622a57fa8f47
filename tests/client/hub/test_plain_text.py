"""What is hidden of settings, and what is not."""

from client.hub.plain_text import create_scrubber


def test_a_secret_is_hidden_with_and_without_its_scheme_and_the_scheme_is_none() -> None:
    scrub = create_scrubber({"Authorization": "Bearer abcdef123456"})
    assert scrub("sent Bearer abcdef123456") == "sent ***"
    assert scrub("was abcdef123456") == "was ***"
    assert scrub("`Authorization: Bearer ...`") == "`Authorization: Bearer ...`"
