"""What never leaves by a line that anybody can read."""

import httpx
import pytest
from rogatory.connection import AnswerMalformed, Connection
from rogatory.errors import UsageProblem


@pytest.mark.parametrize("server", ["http://evidence.example.org", "evidence.example.org", "HTTP://127.0.0.1:1", ""])
def test_only_https_is_spoken(server):
    with pytest.raises(UsageProblem):
        Connection(server)


def test_no_assertion_is_sent_where_everybody_can_read_it():
    asked = []

    def answer(request):
        asked.append(request.url.path)
        return httpx.Response(200, json={"origin": "o", "issuer": "i", "token_endpoint": "http://x.test/oauth/token"})

    connection = Connection(
        "https://service.test", principal="ab" * 16, login_key=lambda: None, transport=httpx.MockTransport(answer)
    )
    with pytest.raises(AnswerMalformed):
        connection.get_json("/v1/packages")
    assert asked == ["/v1/service"]
