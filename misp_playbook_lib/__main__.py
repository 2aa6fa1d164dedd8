"""`python -m misp_playbook_lib` is the command `misp-playbook`."""

from misp_playbook_lib.cli import main

main()
