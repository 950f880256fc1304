"""All commands, in the order in which one meets them."""

from collections.abc import Mapping, Sequence
from typing import Final

from rogatory.cli import (
    completion,
    doctor,
    enrolment,
    exchange,
    keys,
    log,
    packages,
    profiles,
    proving,
    receive,
    redact,
    refresh,
    rotation,
    send,
    sheet,
    stamps,
    standing,
    trust,
    verify,
    version,
    witness,
)
from rogatory.cli.command import Command

SECTIONS: Final[Mapping[str, Sequence[Command]]] = {
    "set up": (
        *profiles.COMMANDS,
        *trust.COMMANDS,
        *stamps.TRUST_COMMANDS,
        *keys.COMMANDS,
        *enrolment.COMMANDS,
        *rotation.COMMANDS,
        *standing.COMMANDS,
        *doctor.COMMANDS,
    ),
    "hand over": (*exchange.COMMANDS, *send.COMMANDS),
    "receive": (*receive.COMMANDS, *packages.COMMANDS),
    "prove": (
        *log.COMMANDS,
        *verify.COMMANDS,
        *sheet.COMMANDS,
        *redact.COMMANDS,
        *proving.COMMANDS,
        *refresh.COMMANDS,
        *stamps.COMMANDS,
    ),
    "watch over the log": witness.COMMANDS,
    "beside": (*completion.COMMANDS, *version.COMMANDS),
}
