"""Row 13: the service keeps what its own OpenAPI document promises, to every role and to strangers.

Requests are made from the document, right and wrong ones; ids in paths are often those of things that are there, so that
they get past "not found". Whether a request that fits its schema is taken is no question here: what is taken needs a
signature, which no generator makes; other tests bring those.
"""

import secrets

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from custody.kinds import ROLES
from tests.app.party import TUS

CHECKS = [
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
WHO = ("stranger", *sorted(ROLES))
IMPOSSIBLE = set()
"""For what no request was found in hundreds of tries, once: where nothing can be wrong, nothing wrong can be made."""


@pytest.fixture(scope="module")
def there(service, police, court, alice, bob):
    """Something of each kind, so that an id can be right."""
    matter = alice.open_exchange(court)
    sent = alice.send(matter, court)
    package = alice.declare(matter, court)
    item = secrets.token_hex(16)
    location = alice.create(package, item, 1000).headers["Location"]
    return {
        "exchange": [matter.id],
        "package": [sent.package, package],
        "item": [sent.items[0].id, item],
        "download": [bob.open_download(sent).json()["download"]],
        "upload": [location.rpartition("/")[2]],
        "authority": [police.id, court.id],
        "sha256": [sent.items[0].member["header"]["sha256"]],
    }


@pytest.fixture(scope="module")
def schema(service):
    found = schemathesis.openapi.from_dict(service.http.get("/v1/openapi.json").json())
    found.config.update(base_url=str(service.http.base_url))
    found.config.checks.negative_data_rejection.expected_statuses = ["4xx"]
    return found


@pytest.fixture(scope="module")
def headers(police):
    """Of a principal that holds one role and no other; none for the stranger."""
    members = {role: police.enrol(role) for role in WHO if role != "stranger"}
    return lambda who: members[who].headers if who in members else {}


@pytest.mark.deep
@pytest.mark.parametrize("who", WHO)
def test_the_service_keeps_its_contract(schema, headers, there, effort, who):
    session = requests.Session()
    operations = [result.ok() for result in schema.get_all_operations()]
    if not effort.deep:  # each operation is tried by every other one of the seven
        operations = operations[WHO.index(who) % 2 :: 2]
    for turn in effort.turns(usual=len(operations), full=400 * len(operations)):
        operation = operations[turn % len(operations)]
        for mode in GenerationMode:
            if (operation.label, mode) in IMPOSSIBLE:
                continue
            strategy = operation.as_strategy(generation_mode=mode)

            @seed(effort.random.getrandbits(64))
            @settings(
                max_examples=10 if effort.deep else 2, deadline=None, database=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=strategy, data=st.data())
            def keeps(case, data):
                checks = CHECKS
                if case.path_parameters and data.draw(st.integers(0, 3)):
                    for name in sorted(case.path_parameters.keys() & there.keys()):
                        case.path_parameters[name] = data.draw(st.sampled_from(there[name]))
                    checks = [each for each in CHECKS if each is not negative_data_rejection]  # mended with that
                sent = {**headers(who), **(TUS if data.draw(st.booleans()) else {})}
                answer = case.call(headers=sent, session=session)
                case.validate_response(answer, checks=checks, headers=sent)
                assert answer.status_code < 500

            try:
                keeps()
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE
                IMPOSSIBLE.add((operation.label, mode))
