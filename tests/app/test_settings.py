"""Settings are read once, strictly, and the operator's page says what they are."""

import ast
import contextlib
from dataclasses import FrozenInstanceError, fields
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import main
from app import settings as module
from app.settings import LogLevel, Settings, SettingsError, Tls, unknown_variables, variable
from custody.errors import FormatError
from docs.pages.settings import page
from storage.local import LocalStore
from storage.s3 import S3Store
from storage.s3_address import S3Address

ROOT = Path(module.__file__).parents[1]
NAMES = [each.name for each in fields(Settings)]


def read(**variables):
    return Settings.from_environment({f"ROGATORY_{name.upper()}": value for name, value in variables.items()})


def test_an_empty_environment_gives_a_whole_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = Settings.from_environment({})
    assert found.state == tmp_path / "var"
    assert found.store == tmp_path / "var" / "store"
    assert found.database == f"sqlite:///{tmp_path}/var/rogatory.db"
    assert (found.public_url, found.origin, found.tls) == ("https://localhost:8443", "", Tls.AUTO)
    assert not list(tmp_path.iterdir())


def test_what_is_set_is_read():
    found = read(
        state="/srv/rogatory",
        database="postgresql+psycopg://u:p@db/rogatory",
        store="/data",
        origin="evidence.example.org/log",
        public_url="https://evidence.example.org",
        host="0.0.0.0",
        port="443",
        tls="files",
        tls_certificate="/etc/tls/chain.pem",
        tls_key="/etc/tls/key.pem",
        hostnames="evidence.example.org, 192.0.2.1",
        min_part_size="32MiB",
        max_item_size="1 TiB",
        checkpoint_interval="50ms",
        token_lifetime="90",
        idempotency_expiry="2d",
        upload_expiry="36h",
        policy="/etc/rogatory/policy",
        auditors="/etc/rogatory/auditors",
        witness_interval="2s",
        tsa="https://a.example/tsa  http://b.example:8080/?x",
        tsa_roots="/roots.pem",
        stamp_interval="30min",
        stamp_validation="on",
        authority_requests="600",
        authority_bytes="6GiB",
        authority_at_once="7",
        stranger_requests="0",
        drain="1min",
        log_level="debug",
    )
    assert found == Settings(
        state=Path("/srv/rogatory"),
        database="postgresql+psycopg://u:p@db/rogatory",
        store=Path("/data"),
        origin="evidence.example.org/log",
        public_url="https://evidence.example.org",
        host="0.0.0.0",
        port=443,
        tls=Tls.FILES,
        tls_certificate=Path("/etc/tls/chain.pem"),
        tls_key=Path("/etc/tls/key.pem"),
        hostnames=("evidence.example.org", "192.0.2.1"),
        min_part_size=2**25,
        max_item_size=2**40,
        checkpoint_interval=timedelta(milliseconds=50),
        token_lifetime=timedelta(seconds=90),
        idempotency_expiry=timedelta(days=2),
        upload_expiry=timedelta(hours=36),
        policy=Path("/etc/rogatory/policy"),
        auditors=Path("/etc/rogatory/auditors"),
        witness_interval=timedelta(seconds=2),
        tsa=("https://a.example/tsa", "http://b.example:8080/?x"),
        tsa_roots=Path("/roots.pem"),
        stamp_interval=timedelta(minutes=30),
        stamp_validation=True,
        authority_requests=600,
        authority_bytes=6 * 2**30,
        authority_at_once=7,
        stranger_requests=0,
        drain=timedelta(minutes=1),
        log_level=LogLevel.DEBUG,
    )


@pytest.mark.parametrize(
    ("text", "bucket", "prefix", "endpoint", "region"),
    [
        ("s3://evidence", "evidence", "", "", ""),
        ("s3://evidence/", "evidence", "", "", ""),
        ("s3://evidence/a/b?region=eu-central-1", "evidence", "a/b", "", "eu-central-1"),
        ("s3://evidence/a?endpoint=https://s3.example:9000", "evidence", "a", "https://s3.example:9000", ""),
        ("s3://evidence?endpoint=http://127.0.0.1:8333", "evidence", "", "http://127.0.0.1:8333", ""),
        ("s3://evidence?endpoint=http://[::1]:8333", "evidence", "", "http://[::1]:8333", ""),
    ],
)
def test_a_store_may_be_a_bucket(text, bucket, prefix, endpoint, region):
    address = S3Address(bucket, prefix, endpoint, region)
    assert read(store=text).store == address
    assert read(store=str(address)).store == address


def test_the_kind_of_store_follows_the_setting(tmp_path):
    assert isinstance(main.open_store(read(store=str(tmp_path / "store"))), LocalStore)
    assert isinstance(main.open_store(read(store="s3://evidence?endpoint=http://127.0.0.1:1")), S3Store)


def test_the_process_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("ROGATORY_PORT", "9443")
    assert Settings.from_environment().port == 9443
    assert Settings.from_environment(port=1).port == 1
    assert Settings.from_environment({}).port == 8443


def test_an_override_stands_over_the_environment_even_where_that_is_wrong():
    found = Settings.from_environment({"ROGATORY_PORT": "x"}, port=7, state=Path("/s"))
    assert (found.port, found.public_url, found.store) == (7, "https://localhost:7", Path("/s/store"))


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_counts_as_absent(name):
    assert read(**{name: ""}) == read()


WRONG = {
    "state": ["a\0b"],
    "policy": ["a\0b"],
    "cadence": ["1ms", "2s", "often"],
    "auditors": ["a\0b"],
    "database": ["mysql://u:hunter2@db/x", "hunter2", "sqlite://"],
    "store": ["a\0b", "file:///data", "s3:", "s3://", "s3://A", "s3://bucket?endpoint=http://store.example", "s3://bucket?x=y",
              "s3://AKIA:hunter2@bucket", "s3://bucket/a//b", "s3://bucket?endpoint=https://u:hunter2@h", "s3://bucket#x"],
    "origin": ["https://evidence.example.org/log", "a b", "a+b", "A/log", "/log", "a/", "a//b", "ä/log", "a" * 256, "a\n"],
    "public_url": ["http://localhost", "https://", "https://h/", "https://h/path", "https://h?x", "https://u@h", "https://H",
                   "https://h:99999", "https://h:0", "https://[::1", "https://[:x]", "https://h\n"],
    "host": ["a\n"],
    "port": ["0", "65536", "-1", "8443.0", "0x10", "٨", "1_000", " 1", "https"],
    "tls": ["off", "none", "AUTO", "http"],
    "hostnames": [",", "a,,b", " "],
    "min_part_size": ["8MiB", "17MiB", "8GiB", "0", "16 mib", "16MB", "1e9", "-1", "16777216.0"],
    "max_item_size": ["0", "40001GiB", "9" * 40],
    "checkpoint_interval": ["0", "251ms", "1s", "-1ms"],
    "token_lifetime": ["0", "601", "11min", "1500ms", "1h", "forever", "nan", "9" * 30 + "d"],
    "idempotency_expiry": ["59min", "31d"],
    "upload_expiry": ["59s", "91d"],
    "witness_interval": ["999ms", "11s"],
    "tsa": ["ftp://a.example", "a.example", "http://", "http://u:p@a.example", "http://a http://a", "http://a:x", "http://a#b",
            " ".join(f"http://a{n}" for n in range(9)), f"http://{'a' * 600}"],
    "tsa_roots": ["\0"],
    "stamp_interval": ["59s", "8d", "x"],
    "stamp_validation": ["yes", "ON"],
    "authority_requests": ["-1", "1.5", "many"],
    "authority_bytes": ["1GB", "fast"],
    "authority_at_once": ["0", "1001"],
    "stranger_requests": ["-1", " 1"],
    "drain": ["-1s", "61min"],
    "log_level": ["trace", "INFO", "20"],
    "tls_certificate": ["/x"],
    "tls_key": ["/x"],
}  # fmt: skip


def test_every_setting_has_a_wrong_value_here():
    assert set(NAMES) - set(WRONG) == set()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_and_names_its_variable(name, value):
    with pytest.raises(SettingsError) as caught:
        read(**{name: value})
    assert caught.value.variable == f"ROGATORY_{name.upper()}"
    assert str(caught.value) == f"{caught.value.variable} is {caught.value.found}, expected {caught.value.expected}"
    assert caught.value.expected
    assert "hunter2" not in str(caught.value)
    assert (caught.value.code, isinstance(caught.value, FormatError)) == ("setting-invalid", True)


@pytest.mark.parametrize("missing", ["tls_certificate", "tls_key"])
def test_files_demand_both_files(missing):
    variables = {"tls": "files", "tls_certificate": "/c", "tls_key": "/k"}
    del variables[missing]
    with pytest.raises(SettingsError, match=f"{variable(missing)} is absent, expected a file"):
        read(**variables)


@pytest.mark.parametrize("mode", ["auto", "behind-proxy"])
def test_files_without_files_mode_are_a_contradiction(mode):
    with pytest.raises(SettingsError, match="expected no value"):
        read(tls=mode, tls_certificate="/c", tls_key="/k")


def test_typed_values_are_checked_like_texts():
    with pytest.raises(SettingsError, match="ROGATORY_TOKEN_LIFETIME"):
        Settings(token_lifetime=timedelta(minutes=10, seconds=1))
    with pytest.raises(SettingsError, match="ROGATORY_HOSTNAMES"):
        Settings(hostnames=())


@pytest.mark.parametrize("value", ["mysql://u:hunter2@db/x", "postgresql://u:hunter2@db/x\n", "hunter2"])
def test_a_password_in_the_database_url_is_never_shown(value):
    with pytest.raises(SettingsError) as caught:
        read(database=value)
    assert "hunter2" not in f"{caught.value} {caught.value.found} {caught.value.__cause__!r}"
    assert "hunter2" not in repr(read(database="postgresql://u:hunter2@db/x"))


def test_settings_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        read().port = 1


@given(name=st.sampled_from(NAMES), value=st.text())
def test_any_text_is_taken_or_refused_as_a_setting_and_nothing_else(name, value):
    with contextlib.suppress(SettingsError):
        read(**{name: value})


@given(st.integers(1, 600))
def test_a_duration_means_the_same_in_every_spelling(seconds):
    spellings = [f"{seconds}", f"{seconds}s", f"{seconds * 1000}ms", f"{seconds} s"]
    assert {read(token_lifetime=text).token_lifetime for text in spellings} == {timedelta(seconds=seconds)}


def test_misspelt_variables_are_named():
    environ = {"ROGATORY_PORT": "1", "ROGATORY_PROT": "1", "PATH": "/bin", "ROGATORY_profile": "x"}
    assert unknown_variables(environ) == ["ROGATORY_PROT", "ROGATORY_profile"]


def test_the_operators_page_is_the_one_made_from_the_settings():
    assert (ROOT / "docs/operations/settings.md").read_text("utf-8") == page()


def test_every_setting_is_on_the_page_with_a_default_and_a_meaning():
    rows = dict(line.split(" | ", 1) for line in page().splitlines() if line.startswith("| `"))
    assert rows.keys() == {f"| `{variable(name)}`" for name in NAMES}
    for row in rows.values():
        default, meaning = row.removesuffix(" |").split(" | ")
        assert len(default) > 1
        assert meaning.endswith(".")


def test_the_defaults_on_the_page_are_the_real_ones():
    for each in fields(Settings):
        shown = each.metadata["shown"]
        if shown and each.default is not None and each.name != "state":
            assert each.metadata["parse"](shown) == each.default


def test_nothing_else_in_the_service_reads_the_environment():
    readers = set()
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name in ("environ", "environb", "getenv"):
                readers.add(path.relative_to(ROOT).as_posix())
    assert readers == {"app/settings.py"}
