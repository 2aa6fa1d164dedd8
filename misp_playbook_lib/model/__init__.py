"""What the playbook talks about: pure, no I/O, no clock."""
