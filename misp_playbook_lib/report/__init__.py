"""What a run leaves behind: tables, summary, page, archive."""
