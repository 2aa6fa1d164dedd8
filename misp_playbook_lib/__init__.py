"""Security playbooks for MISP over a small tested library."""
