"""What to do about an error: prose for docs/errors.md.

`BY_CODE` maps `<package>:<code>` to one line; a class without a row of its own goes by the nearest class above it that
has one. tests/architecture/test_docs.py refuses rows for codes that no longer exist.
"""

FORMAT = (
    "Nothing is said about anybody's honesty. Get the bytes again from where they came, and compare the digest; if they\n"
    "are the same, whoever wrote them has a fault to mend."
)
UNSUPPORTED = "Well-formed, as far as this version can tell. A newer version may know it: update, then try again."
VERIFICATION = (
    "Keep the file exactly as it is, keep the report, and do not rely on what it holds. Get a second copy by another way:\n"
    "where that one verifies, the first was damaged or changed on its way; where both fail alike, the report says\n"
    "which check failed and at which entry or byte. *exit* is for an error that stands alone; in a report the check that\n"
    "found it decides, and then the order of verdicts."
)
CUSTODY = "The branch itself, and what is neither a fault of format nor a finding."
REFUSAL = (
    "The service did nothing. The problem document has the `code`, a `detail` in words and often a `hint`; requests that\n"
    "may succeed later carry `Retry-After`. Where the HTTP column has a dash, the refusal never leaves the service under this\n"
    "code. *exit* is what `rogatory` ends with when it meets this answer."
)
STORE = "Inside the service only; a caller sees one of the refusals above, the operator sees these in the log."
CLIENT = "Raised by the SDK and the command line. `hint` says what to do where something can be done."
HTTP = "Told by the outermost layer: of methods, media types, headers, and of faults of our own."

_AGAIN = "get the file again and compare its digest with the sender's"
_REPORT = "report it with the file; this is a fault of the program that wrote it"
_UPDATE = "update this program"
_DISTRUST = "do not rely on it; compare with a copy got another way"
_OPERATOR = "mend the file or setting it names, then start again"
_LATER = "wait, then repeat the same request"
_TYPING = "compare with the original, character by character"

BY_CODE = {
    # custody, not understood
    "custody:custody-error": "see the more particular errors below",
    "custody:malformed": _AGAIN,
    "custody:archive-too-large": "ask for the bundle as a directory, or in several parts",
    "custody:bech32-malformed": f"a key was mistyped or cut: {_TYPING}",
    "custody:recipient-malformed": f"a key was mistyped or is of no usable kind: {_TYPING}",
    "custody:identity-malformed": "use the identity file as the key tool wrote it",
    "custody:vkey-malformed": f"a log or witness key was mistyped or cut: {_TYPING}",
    "custody:policy-malformed": "mend the line of the policy that the message names",
    "custody:trust-malformed": "make the trust file again with `rogatory trust`, from keys obtained apart from any bundle",
    "custody:public-key-refused": "take another key: this one could make two verifiers disagree",
    "custody:key-malformed": "use a key file that the key tool wrote, of the kind the place needs",
    "custody:recipients-refused": "seal to keys of one kind, each once, at most 256",
    "custody:file-key-malformed": _REPORT,
    "custody:chunk-misplaced": _REPORT,
    "custody:digest-malformed": _REPORT,
    "custody:off-grid": "choose a larger part size, or hand over in several items",
    "custody:body-size": "receive the item again: what is there was cut",
    "custody:inventory-malformed": "ask the sender for a new package: what lies inside is no inventory",
    # custody, unknown
    "custody:unsupported": _UPDATE,
    "custody:header-unsupported": "for ASCII armour: decode it with `age` first; otherwise update this program",
    # custody, does not add up
    "custody:verification-failed": _DISTRUST,
    "custody:cannot-open": "use the identity of a recipient the manifest names, or ask the sender for a grant to your key",
    "custody:key-commitment": "do not open it: the header would show another plaintext than the one signed for; tell the sender",
    "custody:header-mac": "fetch the header again; where it stays so, it was changed after it was written",
    "custody:header-refused": "ask whoever granted it for a header with exactly the recipients it names",
    "custody:chunk-forged": "receive the item again; the message names the place",
    "custody:body-truncated": "receive the rest of the item",
    "custody:body-trailing-bytes": "receive the item again; do not use what follows its end",
    "custody:signer-not-entitled": "look in the registry when the key or role ended; what was signed after does not count",
    "custody:succession-broken": "keep both bundles: with them anybody sees that the successor does not go on where the old log ended",
    "custody:predecessor-mismatch": "get the old log's leaves from another mirror; if they stay so, keep both and tell the members",
    "custody:label-twice": "keep both histories: the log has forked a chain, and this shows it to anybody",
    "custody:not-continued": "keep both notes: two roots of one size prove to anybody that the log keeps two books",
    "custody:old-differs": "ask again from the size that the witness names",
    "custody:label-present": "fetch a newer bundle: an entry follows that this one does not show",
    "custody:origin-mismatch": "use the trust file of the log that the bundle names, if you trust that log",
    "custody:file-damaged": "copy the bundle again; the packing list finds damage, not deceit",
    "custody:inventory-mismatch": "reject the package: its inventory is not the one that was signed for",
    "custody:quorum-missing": "fetch a later bundle, when witnesses have cosigned; or ask those who did not",
    "custody:rolled-back": "stop using this service and keep both checkpoints: together they are the evidence",
    "custody:other-history": "stop using this service and keep both histories: together they are the evidence",
    "custody:seen-too-much": "ask the signer for the checkpoint it says it saw, and compare it with the log's",
    "custody:time-outside": "look at the bounds in the report; the time itself proves nothing, the bounds do",
    "custody:pin-mismatch": "compare the authority's key id by telephone; never take it from the bundle",
    "custody:statement-absent": "ask for the bundle again: a statement was left out",
    "custody:export-missing": "ask for a new export: the act that asked for this one is not in it",
    "custody:item-differs": "receive the item again, then compare; where it differs again, do not rely on it",
    "custody:released-early": "ask the service's operator: a header left before its conditions were accepted",
    "custody:key-locked": "give the passphrase",
    # the service's own files, settings and tokens
    "app:setting-invalid": "set the variable as the message says; `rogatory-server check-config` tells all of them",
    "app:hostname-malformed": _OPERATOR,
    "app:certificate-malformed": _OPERATOR,
    "app:token-key-malformed": _OPERATOR,
    "app:private-file-exposed": "`chmod 600` the file, and consider who could read it until now",
    "app:invalid-scope": "ask for roles that the registry grants this principal, or for none",
    "app:token-refused": "ask for a new token; the service's log says which check refused this one",
    "app:token-expired": "ask for a new token",
    # refusals of the service
    "app:refused": "see the more particular refusals below",
    "app:bad-request": "mend the request: it is not of the interface",
    "app:invalid": "mend the member that `detail` names",
    "app:not-found": "check the id; what you may not see looks the same as what is absent",
    "app:not-entitled": "ask your authority for the role it needs",
    "app:already-answered": "nothing: the first answer stands; read it in the log",
    "app:state-conflict": "fetch the thing again and decide anew",
    "app:manifest-mismatch": "compare items, sizes and digests in `detail`; upload what is missing, or sign a new manifest",
    "app:statement-refused": "sign a statement that says what the request does, with a live key of its signer",
    "app:clock-skew": "set this machine's clock, sign again",
    "app:statement-replayed": "nothing: the record of the first time is the answer",
    "app:idempotency-mismatch": "use a new Idempotency-Key for a new request",
    "app:too-large": "keep to the limit in `detail`; larger things travel as several items",
    "app:offset-mismatch": "go on from the offset in `Upload-Offset`",
    "app:upload-superseded": "stop: another request of yours has taken over; HEAD tells where it stands",
    "app:checksum-mismatch": "send the same bytes again; nothing of them was kept",
    "app:gone": "open a new upload or download",
    "app:not-yet-published": "repeat the same request: the fact is durable and its record will be there",
    "app:overloaded": _LATER,
    "app:read-only": "wait; the operator sees in the service's log which witness is missing or what one has shown",
    "app:database-down": _LATER,
    "app:store-down": _LATER,
    "app:store-full": "tell the operator, who makes room; go on where the upload stopped",
    # told by HTTP alone
    "http:internal": "nothing to mend on your side: tell the operator the time of the request; repeat it later",
    "http:media-type": "send the media type that the interface names",
    "http:method-not-allowed": "use a method that the interface has at this place",
    "http:range-refused": "ask for one range inside the body",
    "http:stopping": "go on in a moment, where the service answers again; what had arrived is kept",
    "http:tus-version": "send `Tus-Resumable: 1.0.0`",
    # stores
    "storage:store-error": "see the more particular errors below",
    "storage:store-full": "make room: nothing was kept of the write that failed",
    "storage:store-unavailable": "see to the disk or the store's service; readiness turns red until it answers",
    "storage:store-lied": "look at the store and at what lies between before anything else; nothing was recorded on its word",
    "storage:object-not-found": "if an entry speaks of it, restore it from a backup; fixity will say so as well",
    "storage:upload-not-found": "nothing: it was aborted, completed, or never begun",
    "storage:already-exists": "nothing is overwritten: find out who wrote other bytes under this name",
    "storage:digest-mismatch": "nothing was kept; a disk or line that does this again wants looking after",
    "storage:truncated": "the other end stopped early; the client goes on from its offset",
    "storage:upload-incomplete": "upload the part that is missing",
    "storage:superseded": "nothing: the stale writer stopped, as it must",
    "storage:object-locked": "wait until the lock runs out; a court's order destroys headers instead",
    "storage:lock-shortened": "nothing: locks only grow",
    "storage:key-malformed": _REPORT,
    "storage:grid-violation": _REPORT,
    # the client
    "rogatory:client-error": "see the message, and the more particular errors below",
    "rogatory:usage": "see `--help` of the command",
    "rogatory:key-not-live": "see which keys the registry has; `rogatory keys recover` replaces an authority's with "
    "its recovery key",
    "rogatory:no-older-identity": "nothing is to be done: the identity in use is the only one",
    "rogatory:step-not-endorsed": "ask the operator who cosigns; take a policy over after comparing: rogatory trust policy",
    "rogatory:step-wrong": _DISTRUST,
    "rogatory:step-weaker": "ask the operator why fewer must cosign, before you accept it",
    "rogatory:log-ended": "ask the operator by another way for the successor's keys",
    "rogatory:recovery-key-missing": "bring the recovery key for this one step, then lock it away again",
    "rogatory:ambiguous-id": "type more of the id",
    "rogatory:profile-name": "choose a name of plain letters and digits",
    "rogatory:malformed": _AGAIN,
    "rogatory:answer-malformed": "is this address a Rogatory service, and is a proxy in between changing its answers?",
    "rogatory:profile-malformed": "mend or remove the profile's file that the message names",
    "rogatory:record-malformed": "keep the answer: the service did not prove what it says it recorded",
    "rogatory:authentication-failed": "is this client enrolled, and neither it nor its login key suspended or revoked?",
    "rogatory:certificate-refused": "give the service's own CA certificate, obtained from the operator, not from the line",
    "rogatory:passphrase-needed": "run it at a terminal, or unlock the key beforehand",
    "rogatory:temporary": "run the same command again; it goes on where it stopped",
    "rogatory:line-down": "check address, proxy and network; the same command goes on where it stopped",
    "rogatory:not-found": "check the id; what you may not see looks the same as what is absent",
    "rogatory:file-missing": "put the file where the message says",
    "rogatory:unknown-id": "list what there is, and compare",
    "rogatory:profile-missing": "make a profile first, or name another",
    "rogatory:refused": "the message names the rule",
    "rogatory:file-exposed": "make it readable for its owner alone, and consider who could read it until now",
    "rogatory:file-exists": "choose another place; secrets are never overwritten",
    "rogatory:tampered": _DISTRUST,
    "rogatory:signer": "compare key ids with those you pinned; never pin a key that a bundle brings",
    "rogatory:time": "set this machine's clock, or fetch a newer checkpoint",
    "rogatory:clock-differs": "set this machine's clock",
    "rogatory:rolled-back": "stop using this service and keep both checkpoints: together they are the evidence",
    "rogatory:conditions-not-accepted": "read the conditions, then accept them by signature, if you may",
    "rogatory:nothing-to-accept": "nothing: no conditions were set",
    "rogatory:not-for-us": "ask the sender for a grant to your authority's key",
    "rogatory:no-recipient-key": "ask the recipient to register an encryption key",
    "rogatory:not-pinned": "get the authority's key id by telephone, then `rogatory trust pin`",
    "rogatory:log-forked": "stop using this service and keep the witness's directory: it holds both notes",
    "rogatory:log-shrunk": "tell the operator: its database is older than what was cosigned; keep the witness's directory",
    "rogatory:log-ahead": "tell the operator: its database is older than what was cosigned; keep the witness's directory",
    "rogatory:log-not-complete": "report it to the operator; every checkpoint has to end in a tail leaf",
    "rogatory:log-unsigned": "compare the log's keys with those its operator reads out, then look at the trust file",
    "rogatory:quorum-missing": "wait until witnesses have cosigned, then run it again",
    "rogatory:another-shown": "ask the operator; do not go on with what was shown",
    "rogatory:auditors-behind": "run it again after the auditors have run `rogatory log mirror --cosign`",
    "rogatory:continued-otherwise": "keep the bundle and the record: together they show that the successor does not go on where the old log ended",
    "rogatory:nothing-to-continue": "give the bundle of an exchange that was not closed, from the end of the log before",
    "rogatory:bundle-not-continued": "keep the bundle and what was refused: they show that the log keeps two books",
    "rogatory:bundle-stale": "ask again; if it stays so, ask the operator what is being kept from you",
    "rogatory:registry-outdated": "ask the operator; seal nothing meanwhile",
    "rogatory:registry-stale": "run it again when the log has a new checkpoint; look at this machine's clock",
    "rogatory:name-refused": "receive into an empty directory; the name is shown, and never used as a path",
    "rogatory:target-taken": "choose an empty directory; nothing is overwritten",
    "rogatory:source-changed": "send again, from an image or a read-only mount: the source changed while it was read",
    "rogatory:source-missing": "check the path",
    "rogatory:source-unreadable": "read it with the rights it needs, or from an image",
    "rogatory:source-unsendable": "leave it out, or take an image of it",
    "rogatory:leaves-missing": "run `rogatory log mirror` again",
    "rogatory:resume-state": "remove the state file that the message names and begin this item anew",
    "rogatory:disk-full": "make room, then run the same command again; it goes on where it stopped",
    "rogatory:upload-taken-over": "another process of yours sends the same item: let one of them finish",
}
