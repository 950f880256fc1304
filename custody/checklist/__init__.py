"""The checks of the offline verifier, a module for each subject; `custody.verify` runs them in their fixed order.

Each is a function of a `Case` that says in words what it found: PASS. Or it raises `Fault`, or a `CustodyError`
without a place: FAIL. Or `NotChecked`, and why.
"""
