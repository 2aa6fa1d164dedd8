"""Starts the real misp-modules with VirusTotal and Shodan answered from elsewhere; runs in .misp-modules/.

VIRUSTOTAL_API_URL and SHODAN_API_URL say where; vt-py has no setting for it, Shodan's client reads its own.
"""

import os
import sys

import vt.client
from misp_modules.__main__ import main

vt.client._API_HOST = os.environ["VIRUSTOTAL_API_URL"]  # noqa: SLF001 - vt-py has no other way
sys.exit(main())
