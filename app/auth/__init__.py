"""Who is asking, and may they: tokens, their keys, the service's certificate, the policy table."""
