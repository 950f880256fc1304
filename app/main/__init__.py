"""The composition root and the operator's commands.

Everything is put together here: settings, state, database, store, log, application, server. Exit codes: 0; 1 our own
mistake; 2 usage or settings; 5 something does not answer now; 7 refused; 20 what is kept does not add up.

Commands are named here and imported when they run: half of the time of a short one would go into importing the server.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app import VERSION
from app.errors import Refusal
from app.main.options import REFUSED, TEMPORARY, USAGE, fail
from app.settings import SettingsError
from custody.errors import CustodyError
from storage.interface import StoreError

if TYPE_CHECKING:
    from app.main.assembly import Service, assemble, open_store
    from app.main.server import create_app

__all__ = ["Service", "assemble", "cli", "create_app", "open_store"]

_WHERE: Final = {"Service": "assembly", "assemble": "assembly", "create_app": "server", "open_store": "assembly"}

_TEMPORARY: Final = frozenset(
    {"database-down", "overloaded", "not-yet-published", "read-only", "store-down", "store-full"}
)


def __getattr__(name: str) -> Any:
    """What is put together here, imported when somebody asks for it."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _named(f"{_WHERE[name]}.{name}")


def _named(place: str) -> Any:
    """A thing of a module beside this one."""
    module, _, name = place.partition(".")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def cli(arguments: Sequence[str] | None = None) -> None:
    """Run a command of the operator and end the process with its code."""
    options = _parser().parse_args(arguments)
    try:
        code = _named(options.command)(options)
    except SettingsError as error:
        code = fail(str(error), "see docs/operations/settings.md, or run rogatory-server check-config", USAGE)
    except Refusal as error:
        code = fail(str(error), error.hint, TEMPORARY if error.code in _TEMPORARY else REFUSED)
    except StoreError as error:
        code = fail(f"the store: {error}", "", TEMPORARY)
    except (CustodyError, OSError) as error:
        code = fail(str(error), "", USAGE)
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rogatory-server",
        description="The Rogatory service: authorities exchange sealed evidence, and everybody can check the record.",
        epilog="Settings are environment variables ROGATORY_*: docs/operations/settings.md. "
        "Exit codes: 0, 2 usage or settings, 5 does not answer now, 7 refused, 20 something does not add up.",
    )
    parser.add_argument("--version", action="version", version=f"rogatory-server {VERSION}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state", type=Path, metavar="DIR", help="state directory (default: ROGATORY_STATE, or ./var)")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, text in (
        ("migrate", "commands.migrate", "bring the database to the schema of this version"),
        (
            "check-config",
            "commands.check_config",
            "try settings, database, store, keys and certificate, and say what is wrong",
        ),
    ):
        each = verbs.add_parser(name, parents=[common], help=text, description=text)
        each.set_defaults(command=function)
    _add_init(verbs.add_parser("init", parents=[common], help="make the state; repeatable"))
    _add_serve(verbs.add_parser("serve", parents=[common], help="run the service over HTTPS; makes a missing state"))
    _add_enrol(verbs.add_parser("enrol", parents=[common], help="admit an authority after comparing its fingerprint"))
    _add_succeed(verbs.add_parser("succeed", parents=[common], help="end the log, and name the one that follows it"))
    _add_witness(verbs.add_parser("witness", help="who cosigns the log, who is behind, and who is to"), common)
    _add_fsck(verbs.add_parser("fsck", parents=[common], help="check everything that is kept, also beside a service"))
    _add_collect(verbs.add_parser("collect", parents=[common], help="clear what belongs to nothing out of the store"))
    return parser


def _add_init(parser: argparse.ArgumentParser) -> None:
    parser.description = "Make the state: keys, certificate, database, store; repeatable."
    parser.add_argument(
        "--succeeds", type=Path, metavar="FILE", help="the log before this one, as its `succeed` wrote it down"
    )
    parser.add_argument("--keys-only", action="store_true", help="make and show the log's keys; the log begins later")
    parser.set_defaults(command="commands.init")


def _add_fsck(parser: argparse.ArgumentParser) -> None:
    parser.description = "Replay every chain, rebuild the log, hold tables and store to them. Changes nothing."
    parser.add_argument("--objects", action="store_true", help="read every body and header back, and hash it")
    parser.add_argument("--json", action="store_true", help="one JSON object a line: the findings, then the summary")
    parser.set_defaults(command="upkeep.fsck")


def _add_collect(parser: argparse.ArgumentParser) -> None:
    parser.description = "Remove uploads, bodies and headers that no row names; the service does so itself, daily."
    parser.add_argument("--dry-run", action="store_true", help="tell of them, and remove nothing")
    parser.add_argument(
        "--older-than", metavar="AGE", default="1d", help="leave what is younger alone: 1h or more (default: 1d)"
    )
    parser.set_defaults(command="upkeep.collect")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run the service. What is missing of the state is made first, and said; the log's keys are told."
    )
    parser.add_argument("--port", type=int, help="port to listen on; 0 takes a free one (default: ROGATORY_PORT)")
    parser.add_argument("--ready-file", type=Path, metavar="PATH", help="written, as JSON, once connections are taken")
    parser.add_argument(
        "--behind-proxy", action="store_true", help="speak plain HTTP to a proxy of yours that speaks TLS"
    )
    parser.add_argument(
        "--without-witnesses",
        action="store_true",
        help="take entries though no witness answers; goes on record, and is refused if one has shown another log",
    )
    parser.set_defaults(command="server.serve")


def _add_witness(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    parser.description = "Witnesses cosign the log, auditors check each of its leaves first. Changes go on record."
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    which = argparse.ArgumentParser(add_help=False, parents=[common])
    which.add_argument("--auditor", action="store_true", help="an auditor; its keys are others than the witness's")
    listing = verbs.add_parser("list", parents=[common], help="all of them, what each cosigned last, who is behind")
    listing.set_defaults(command="witnesses.show")
    add = verbs.add_parser(
        "add", parents=[which], help="an authority and its keys, which `rogatory witness show` gives"
    )
    add.add_argument("authority", help="whose keys these are; a quorum counts authorities")
    add.add_argument("keys", nargs="+", metavar="KEY", help="<name>+<id>+<base64>")
    add.add_argument("--url", default="", help="where it is asked; without, it fetches (rogatory witness once)")
    remove = verbs.add_parser("remove", parents=[which], help="an authority with its keys")
    remove.add_argument("authority")
    for each, function in ((add, "witnesses.add"), (remove, "witnesses.remove")):
        each.add_argument("--quorum", type=int, metavar="N", help="how many must cosign (default: more than half)")
        each.set_defaults(command=function)
    policy = verbs.add_parser("policy", parents=[which], help="take a whole policy that you have written")
    policy.add_argument("file", type=Path)
    policy.set_defaults(command="witnesses.policy")
    for each in (add, remove, policy):
        each.add_argument(
            "--wait", metavar="TIME", default="0s", help="for witnesses that fetch, to cosign the change (default: 0s)"
        )


def _add_succeed(parser: argparse.ArgumentParser) -> None:
    parser.description = "Ends the log for good: its last entry names its successor. Stop the service first."
    parser.add_argument("origin", help="of the successor's log")
    parser.add_argument("keys", nargs="+", metavar="KEY", help="<name>+<id>+<base64>, each key of the successor's log")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file for `init --succeeds` of the successor")
    parser.add_argument(
        "--bundles", type=Path, metavar="DIR", help="write there what proves each exchange and registry up to the end"
    )
    parser.set_defaults(command="endings.succeed")


def _add_enrol(parser: argparse.ArgumentParser) -> None:
    parser.description = "Admit an authority. Its key is shown, and must be the one it told you by another way."
    parser.add_argument("file", type=Path, help="enrolment file that the authority made")
    parser.add_argument(
        "--fingerprint", metavar="HEX", help="what the authority told you of its key, by another way than the file came"
    )
    parser.set_defaults(command="commands.enrol")
