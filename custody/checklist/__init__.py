"""The checks of the offline verifier, a module for each subject; `custody.verify` runs them in their fixed order."""
