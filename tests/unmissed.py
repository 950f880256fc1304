"""Refusals that no vector misses, and why that is so: (module, function) → reason. `tests.mutations` holds the list to this."""

MAKES = "only who makes such bytes comes by it; its own unit tests do"
GUARD = "its callers have made sure of it; kept because the function is public, and its own unit tests come by it"
DISK = (
    "about directories and files that change while they are read: no archive can hold it; tests/custody/test_bundle.py"
)
TWICE = "what it refuses is refused at another place too, by the same code; this one is nearer to the cause"
LARGE = "takes an input of many megabytes, or tens of thousands of files; tests/custody comes by it"
OPTION = "only with an option that no command of the protocol has"
TYPES = "for the type checker alone: it cannot be so there"

REASONS = {
    **dict.fromkeys(
        [
            ("archive", "write_archive"), ("bundle", "extended_files"), ("canonical", "dump"), ("canonical", "_check_value"),
            ("keys", "SigningKey.from_pem"), ("keys", "SigningKey.generate"), ("leaf", "dummy_leaf"),
            ("merkle", "consistency_path"), ("merkle", "inclusion_path"), ("merkle", "CompactRange.__init__"),
            ("note", "SignerKey.from_pem"), ("note", "SignerKey.from_private"), ("note", "SignerKey.sign"),
            ("note", "_known_type"), ("timestamp", "certificate"), ("note", "encode_note"), ("tail", "TailTree.__init__"),
        ],
        MAKES,
    ),
    **dict.fromkeys(
        [
            ("batch", "_check_indices"), ("batch", "verify_batch"), ("bundle", "Bundle.read"),
            ("checkpoint", "open_checkpoint"), ("checkpoint_text", "Checkpoint.__post_init__"), ("leaf", "_sized"),
            ("leaf", "entry_leaf_hash"), ("leaf", "next_label"), ("proof", "TlogProof.__post_init__"), ("tail", "bucket_of"),
            ("packing", "_refuse_leaf"), ("checklist.proving", "_verified_note"),
            ("checklist.case", "_check_digests"), ("text", "from_time"), ("checklist.clock", "seconds"),
            ("registry", "Registry._required"), ("timestamp", "Reply.__init__"), ("trust", "Trust.check"),
            ("exchange", "Exchange._check_statement"),
        ],
        GUARD,
    ),
    **dict.fromkeys(
        [
            ("archive", "DirectoryArchive.__init__"), ("archive", "DirectoryArchive._scan"),
            ("archive", "DirectoryArchive.read"),
        ],
        DISK,
    ),
    **dict.fromkeys(
        [
            ("archive", "ZipArchive._at"), ("archive", "_central"), ("archive", "_inflate"), ("batch", "parse"),
            ("checklist.evidence", "_check_parts"), ("checklist.proving", "_leaves"), ("ed25519", "verify"),
            ("note", "_verify_mldsa44"), ("timestamp", "_check_purpose"),
            ("ed25519", "check_public"), ("keys", "_to_der"), ("note", "_split"), ("exchange", "Exchange._seal"),
            ("exchange", "Exchange._grant"), ("exchange", "Exchange._add_release"), ("schema", "Text.check"), ("statement", "parse"),
            ("sealing.header", "_Lines.next"), ("registry", "Registry._check_recovery"),
        ],
        TWICE,
    ),
    **dict.fromkeys(
        [("archive", "ZipArchive._scan"), ("bundle", "_open"), ("canonical", "load"), ("policy", "Policy.parse")], LARGE
    ),
    ("exchange", "Exchange._of_manifest"): TYPES,
    ("checklist.signing", "signatures"): OPTION,
}  # fmt: skip
