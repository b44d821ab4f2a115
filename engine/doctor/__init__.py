"""What `ddpm-tui doctor` finds out about a machine: small checks that return findings."""
