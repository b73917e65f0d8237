"""What a picture is, and how that is known: signatures, the ledgers of runs, near matches and marks."""
